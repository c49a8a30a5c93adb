"""Where the workers of one API post their numbers, so that each can answer for all of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from ml_assets.core.storage.files import write_atomically
from ml_assets.serving.telemetry.samples import Numbers

log = logging.getLogger(__name__)

POST_SECONDS = 1.0
"""What a worker has counted since it posted is lost where it is killed."""

_DECODER = msgspec.msgpack.Decoder(Numbers)


class Board:
    """One worker's view of a folder with a file for each place among the workers.

    Each worker posts its numbers every second and once it ends. Who takes the place of one that
    died starts from what that one had posted, so there are never more files than places, and no
    count falls: also not from one scrape to the next, whichever worker answers it, since who
    tells a total posts what is in it first.

    Levels of a worker that died are in the total until its place is taken, a second later.
    """

    def __init__(self, folder: Path, *, place: int, places: int) -> None:
        self._files = [folder / str(each) for each in range(places)]
        self._mine = self._files[place]
        self._own: Callable[[], Numbers] = Numbers
        self._before = Numbers()
        self._posting = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_posting, name="post", daemon=True)

    def open(self, own: Callable[[], Numbers]) -> None:
        """Post from now on.

        own: what this process has counted, to be asked on any thread
        """
        self._own, self._before = own, (_posted(self._mine) or Numbers()).past()
        self._post()
        self._thread.start()

    def close(self) -> None:
        """Post what was counted in the end, and no more."""
        self._over.set()
        self._thread.join()
        self._post()

    def total(self) -> Numbers:
        """Of all places: own ones as they are now, others as they were posted last."""
        together = self._post()
        for file in self._files:
            if file != self._mine and (posted := _posted(file)) is not None:
                together = together.plus(posted)
        return together

    def _keep_posting(self) -> None:
        while not self._over.wait(POST_SECONDS):
            self._post()

    def _post(self) -> Numbers:
        """What is posted now. Where it cannot be, that is said, and the worker goes on."""
        # Under the lock: of two threads the later numbers must be written later.
        with self._posting:
            numbers = self._before.plus(self._own())
            try:
                write_atomically(self._mine, msgspec.msgpack.encode(numbers), durable=False)
            except OSError as error:
                log.warning("other workers do not see what this one counts: %s", error)
            return numbers


def _posted(file: Path) -> Numbers | None:
    """None where nobody has had the place yet."""
    try:
        return _DECODER.decode(file.read_bytes())
    except FileNotFoundError:
        return None
