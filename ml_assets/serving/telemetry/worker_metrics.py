"""Where the workers of one API post their numbers, so that each can answer for all of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from ml_assets.core.storage.files import write_atomically
from ml_assets.serving.telemetry.samples import WorkerSamples

log = logging.getLogger(__name__)

POST_SECONDS = 1.0
"""What a worker has counted since it posted is lost if it is killed."""

_DECODER = msgspec.msgpack.Decoder(WorkerSamples)


class WorkerMetrics:
    """One worker's view of a folder with a file for each worker's number.

    Each worker posts its numbers every second and once it ends. The one that
    replaces a dead worker has its number and starts from what it had posted, so there are never
    more files than numbers, and no count falls: also not from one scrape to the next, whichever
    worker answers it, since it posts its own samples before it reports a total.

    Levels of a worker that died are in the total until it is replaced, a second later.
    """

    def __init__(self, folder: Path, *, worker: int, workers: int) -> None:
        self.count = workers
        self._files = [folder / str(each) for each in range(workers)]
        self._mine = self._files[worker]
        self._own: Callable[[], WorkerSamples] = WorkerSamples
        self._before = WorkerSamples()
        self._posting = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_posting, name="post", daemon=True)

    def open(self, own: Callable[[], WorkerSamples]) -> None:
        """Post from now on.

        own: what this process has counted, to be asked on any thread
        """
        self._own, self._before = own, (_posted(self._mine) or WorkerSamples()).past()
        self._post()
        self._thread.start()

    def close(self) -> None:
        """Post what was counted in the end, and no more."""
        self._over.set()
        self._thread.join()
        self._post()

    def total(self) -> WorkerSamples:
        """Of all workers: this one's as they are now, the others' as they were posted last."""
        total = self._post()
        for file in self._files:
            if file != self._mine and (posted := _posted(file)) is not None:
                total = total.plus(posted)
        return total

    def _keep_posting(self) -> None:
        while not self._over.wait(POST_SECONDS):
            self._post()

    def _post(self) -> WorkerSamples:
        """What is posted now. If it cannot be, that is logged, and the worker goes on."""
        # Under the lock: of two threads the later numbers must be written later.
        with self._posting:
            numbers = self._before.plus(self._own())
            try:
                write_atomically(self._mine, msgspec.msgpack.encode(numbers), durable=False)
            except OSError as error:
                log.warning("other workers do not see what this one counts: %s", error)
            return numbers


def _posted(file: Path) -> WorkerSamples | None:
    """None if no worker has had this number yet."""
    try:
        return _DECODER.decode(file.read_bytes())
    except FileNotFoundError:
        return None
