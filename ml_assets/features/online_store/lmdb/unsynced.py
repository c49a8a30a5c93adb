"""Whether a power cut may have hit a file that is written without waiting for the disk.

Beside the file lies a mark: which boot of the machine it was written in since it was last synced
as a whole. While a process writes, it has a shared lock on the mark; the last one to leave syncs
the file and empties the mark. If that never happened and the machine has been started anew since,
some pages of the file may be older than others.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path

from ml_assets.core.storage.files import PRIVATE_FILE

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Another one after each start of the machine. Elsewhere than on Linux a power cut goes unseen."""


class Unsynced:
    """The mark of one file, for one process."""

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}-unsynced")
        self._held: int | None = None

    def is_suspect(self) -> bool:
        """Whether the file was written in an earlier boot and not synced afterwards."""
        try:
            return self.path.read_bytes() not in (b"", _boot())
        except FileNotFoundError:
            return False

    def note(self) -> None:
        """The file is about to be written. From the second time on this costs nothing."""
        if self._held is not None or not _boot():
            return
        mark = os.open(self.path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        # Waits while another process syncs what it leaves.
        flock(mark, LOCK_SH)
        if os.pread(mark, 100, 0) != _boot():
            os.pwrite(mark, _boot(), 0)
            os.fsync(mark)
            _sync_folder(self.path.parent)
        self._held = mark

    def leave(self, sync: Callable[[], object]) -> None:
        """The file will not be written again from here; `sync` it if nobody else writes it."""
        if self._held is None:
            return
        try:
            flock(self._held, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            pass  # the others will
        else:
            sync()
            os.ftruncate(self._held, 0)
            os.fsync(self._held)
        self.forget()

    def forget(self) -> None:
        """In a forked child: the parent still holds the lock."""
        if self._held is not None:
            os.close(self._held)
            self._held = None


def _boot() -> bytes:
    try:
        return BOOT_ID.read_bytes().strip()
    except OSError:
        return b""


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
