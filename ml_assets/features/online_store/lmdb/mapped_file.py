"""The LMDB file as it is mapped into memory: written there, with room that surely is on the disk.

A page that is written in the map, rather than by a call, costs half. Two things must be seen to:
a write where the disk has no room for it would end the process, so the whole map has its room
before it is used; and whoever maps less than another would cut the file, so all sizes are changed
under one lock, and never to less.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_UN, flock
from pathlib import Path

from ml_assets.core.storage.files import PRIVATE_FILE

FIRST_SIZE = 1 << 24
"""Bytes of a new file. A full one gets twice the size."""


class MappedFile:
    """The file `path`, created if it is missing."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)

    @property
    def size(self) -> int:
        return os.fstat(self._file).st_size

    @contextmanager
    def sizing(self, at_least: int = 0) -> Iterator[int]:
        """Keeps others from changing the size, and tells which one to map.

        The file gets that size, in full. Raises OSError if the disk has no room.
        """
        flock(self._file, LOCK_EX)
        try:
            there = self.size
            wanted = max(there, at_least)
            if there:  # LMDB takes a file for new only if it is empty
                os.posix_fallocate(self._file, 0, wanted)
            yield wanted
            if not there:
                os.posix_fallocate(self._file, 0, wanted)
        finally:
            flock(self._file, LOCK_UN)

    def close(self) -> None:
        os.close(self._file)
