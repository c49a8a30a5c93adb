"""Whole files or none, readable by their owner alone.

Everything is written beside its name, then renamed.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from ml_assets.core.errors import StateDamaged

Opened = TypeVar("Opened")
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
"""Modes: what lies here are other people's mails and who may call."""


def make_folder(path: Path) -> None:
    """Make `path` and the folders above it that are missing, open to their owner alone."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(PRIVATE_FOLDER, exist_ok=True)


def make_private(path: Path) -> None:
    """Make `path` an empty file, open to its owner alone, unless something is there.

    SQLite would make it with the process's umask; the files that it puts beside follow this one.
    """
    make_folder(path.parent)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, PRIVATE_FILE))
    except FileExistsError:
        return


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder; renamed to `path` when the block ends well.

    An error or a `kill -9` inside the block leaves what stood at `path` as it was.
    """
    make_folder(path.parent)
    # Made with mode 0600, whatever the umask.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(PRIVATE_FILE)  # some writers put a file of their own there
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace `path` by `content`; `durable` also survives a power cut (about 4 ms)."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def identity(path: Path) -> tuple[int, int] | None:
    """Which file lies at `path`: device and inode; None if none does."""
    try:
        found = os.stat(path)  # noqa: PTH116  (once per request: twice as fast as Path.stat)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class SameFile:
    """Notices that the file which a process works on was deleted or replaced meanwhile.

    What is written then could not be found again, and a new empty one would look well.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: tuple[int, int] | None = None

    def hold(self) -> None:
        """From now on it must be the file that lies there now; the first one held stays.

        A descriptor keeps its inode from being given to the next file, as ext4 does at once. It is
        one by path alone: closing another kind would end the locks that SQLite has on the file.
        """
        if self._held is not None:
            return
        try:
            pin = os.open(self.path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        weakref.finalize(self, os.close, pin)
        found = os.fstat(pin)
        self._held = found.st_dev, found.st_ino

    def watched(self, open_file: Callable[[], Opened]) -> Callable[[], Opened]:
        """`open_file`, which must never open another file than the first time, nor a new one."""
        def opened() -> Opened:
            self.check()
            made = open_file()
            self.hold()
            return made

        return opened

    def check(self) -> None:
        """Raise StateDamaged if the held file is gone, or another one lies in its place."""
        if self._held is None or (there := identity(self.path)) == self._held:
            return
        happened = "was deleted" if there is None else "was replaced"
        raise StateDamaged(
            f"{self.path} {happened} while this process used it: put the file back that was there, "
            "or stop this process and start it again; `ml-assets doctor` says what is damaged"
        )
