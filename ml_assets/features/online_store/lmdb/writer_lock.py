"""Who writes the LMDB file next: a lock that one may stop waiting for, which LMDB's own is not.

Taken before each write transaction, in a file beside it. It is the kernel's, so that it ends with
whoever held it. A writer that hangs, stopped in a debugger for example, costs others no more than
their patience.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from pathlib import Path
from time import monotonic, sleep

from ml_assets.core.errors import StoreHeld
from ml_assets.core.storage.files import PRIVATE_FILE

LOCKS = Path("/proc/locks")
SHORTEST, LONGEST = 50e-6, 1e-3
"""Seconds between two tries: a transaction takes from 0.1 to some 30 ms."""


class WriterLock:
    """The lock of one file, for one process; its threads must take turns by themselves."""

    def __init__(self, path: Path) -> None:
        self._of = path
        self._file = os.open(path.with_name(f"{path.name}-writer"),
                             os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)

    @contextmanager
    def held(self, ends: float) -> Iterator[None]:
        """Raises StoreHeld if another process has not let go of it by `ends`, on `monotonic`."""
        if not self._is_taken():
            self._wait(ends)
        try:
            yield
        finally:
            flock(self._file, LOCK_UN)

    def holder(self) -> int | None:
        """The process that has it now; None if nobody has, or if it cannot be seen."""
        there = os.fstat(self._file)
        mine = f"{os.major(there.st_dev):02x}:{os.minor(there.st_dev):02x}:{there.st_ino}"
        try:
            held = [line.split() for line in LOCKS.read_text().splitlines()]
        except OSError:
            return None
        # 1: FLOCK ADVISORY WRITE 4711 fe:00:131 0 EOF; those who wait have an arrow.
        return next((int(words[4]) for words in held
                     if words[1] == "FLOCK" and words[5] == mine), None)

    def close(self) -> None:
        os.close(self._file)

    def _is_taken(self) -> bool:
        try:
            flock(self._file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _wait(self, ends: float) -> None:
        began, pause = monotonic(), SHORTEST
        while not self._is_taken():
            if (now := monotonic()) >= ends:
                who = self.holder()
                raise StoreHeld(
                    f"{'another process' if who is None else f'process {who}'} has been writing "
                    f"the online store {self._of} for longer than {now - began:.2g} s, which is as "
                    "long as anyone waits here: end it if it hangs. Nothing is lost: what is in "
                    "the event log is counted later")
            sleep(pause)
            pause = min(2 * pause, LONGEST)
