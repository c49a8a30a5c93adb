"""Whole files or none, readable by their owner only.

Everything is written to a temporary file beside its target, then renamed. In a folder whose files
are copies of objects (`mounts`) the object is stored whole before the rename.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from ml_assets.core.errors import StateDamaged
from ml_assets.core.storage.mounts import remove, send

Opened = TypeVar("Opened")
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
"""Modes: the files hold what others have sent, and who may call the API."""


def make_folder(path: Path) -> None:
    """Create `path` and its missing parents, accessible to the owner only."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(PRIVATE_FOLDER, exist_ok=True)


def make_private(path: Path) -> None:
    """Create `path` as an empty file, accessible to the owner only, unless it exists.

    SQLite would create it with the process's umask; its side files inherit this one's mode.
    """
    make_folder(path.parent)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, PRIVATE_FILE))
    except FileExistsError:
        return


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder; renamed to `path` if the block succeeds.

    An error or a `kill -9` inside the block leaves `path` unchanged.
    """
    with beside(path) as temporary:
        yield temporary
        move(temporary, path)


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder, for a file whose name is known once it is written.

    What has not been moved from there by the end of the block is gone.
    """
    make_folder(path.parent)
    # Created with mode 0600, regardless of the umask.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def move(temporary: Path, path: Path) -> None:
    """What `beside` gave becomes `path`, and replaces what was there."""
    temporary.chmod(PRIVATE_FILE)  # some writers replace the file
    send(temporary, path)
    temporary.replace(path)


def write_atomically(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace `path` by `content`; `durable` also survives a power cut (about 4 ms)."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def delete_tree(path: Path, *, keeping: Path) -> None:
    """Delete a file, a link or a folder if it exists, but not what `keeping` holds.

    Of a symbolic link the target stays.
    """
    remove(path)
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    elif path == keeping:
        return
    elif path in keeping.parents or path.is_mount():
        for each in path.iterdir():
            delete_tree(each, keeping=keeping)
    else:
        shutil.rmtree(path)


def identity(path: Path) -> tuple[int, int] | None:
    """Which file is at `path`: device and inode; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116  (once per request: twice as fast as Path.stat)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class SameFile:
    """Notices that the file a process works on has been deleted or replaced.

    Anything written afterwards would be lost, and a new empty file would look fine.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: tuple[int, int] | None = None

    def hold(self) -> None:
        """From now on the path must keep the file it has now; the first one held counts.

        A descriptor keeps the inode from being reused for the next file, as ext4 does at once. It
        is an O_PATH descriptor: closing any other would release SQLite's locks on the file.
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
        """`open_file`, guarded: it must always open the file that it opened first."""
        def opened() -> Opened:
            self.check()
            made = open_file()
            self.hold()
            return made

        return opened

    def check(self) -> None:
        """Raise StateDamaged if the held file is gone or has been replaced."""
        if self._held is None or (there := identity(self.path)) == self._held:
            return
        happened = "was deleted" if there is None else "was replaced"
        raise StateDamaged(
            f"{self.path} {happened} while this process used it: put the original file back, or "
            "restart this process; `ml-assets doctor` says what is damaged"
        )
