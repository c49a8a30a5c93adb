"""The LMDB file as one process uses it: opened once, from any thread, anew after a fork.

LMDB must not have a file open twice in a process, nor use across a fork what was opened before
it; and while its map grows, no transaction may be open in the process. No commit waits for the
disk: it survives `kill -9` of any process at any instant, but a power cut may leave a file that
nobody may trust, see `unsynced`. It is synced when the last process that writes it closes it.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock, RLock
from time import monotonic
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakSet

import lmdb

from ml_assets.core.errors import LogUnavailable, StateDamaged, StoreHeld
from ml_assets.core.storage.files import PRIVATE_FILE, SameFile, make_folder
from ml_assets.features.online_store.lmdb.keys import OWN_NUMBER
from ml_assets.features.online_store.lmdb.mapped_file import FIRST_SIZE, MappedFile
from ml_assets.features.online_store.lmdb.unsynced import Unsynced
from ml_assets.features.online_store.lmdb.writer_lock import WriterLock

if TYPE_CHECKING:
    Transaction = lmdb.Transaction[bytes]

Result = TypeVar("Result")

FORMAT = 1
_FORMAT_KEY = OWN_NUMBER + b"format"
READERS = 1024
"""Read transactions that may be open at once, in all processes."""
LOOK_FOR_DEAD_EVERY = 4096
"""Write transactions between two looks for readers that were killed: no page that they might
have read is used again."""

PATIENCE_S = 30.0
"""How long a writer waits for others, whose transactions take some milliseconds each."""

DO = ("Stop all that uses it, delete it with the -lock, -unsynced and -writer files beside it, and "
      "load it again: `feast apply`, then `feast materialize`")


class Environment:
    """One file in this process. `read` and `write` may be called from any thread."""

    def __init__(self, path: Path, first_size: int) -> None:
        self.path, self.users = path, WeakSet[object]()
        self._file, self._unsynced = SameFile(path), Unsynced(path)
        self._reading, self._writing = Lock(), RLock()
        self._writes, self.is_open = 0, True
        make_folder(path.parent)
        self._mapped, self._writer = MappedFile(path), WriterLock(path)
        try:
            if self._mapped.size:
                require_sound(path)
            with self._explaining(), self._mapped.sizing(first_size) as size:
                self._env = _open_file(path, size)
        except BaseException:
            self._close_files()
            raise
        try:
            self._file.hold()
            if self.read(lambda txn: txn.get(_FORMAT_KEY)) is None:
                self.write(_format)
            self._env.reader_check()
        except BaseException:
            self._env.close()
            self._close_files()
            raise

    @property
    def is_current(self) -> bool:
        """Whether it is the file that lies at its path now."""
        try:
            self._file.check()
        except StateDamaged:
            return False
        return True

    def read(self, work: Callable[[Transaction], Result]) -> Result:
        """What `work` finds in one snapshot."""
        while True:
            with self._explaining():
                try:
                    with self._reading, self._env.begin() as txn:
                        return work(txn)
                except lmdb.MapResizedError:  # another process has made it grow
                    self._resize()
                except lmdb.ReadersFullError:
                    if not self._env.reader_check():
                        raise

    def write(
        self, work: Callable[[Transaction], Result], *, ends: float | None = None
    ) -> Result:
        """What `work` returns, whose changes are then committed; undone if it raises.

        Waits for all other writers, those of other processes too, until `ends`, on
        `time.monotonic`; unless that is given, for PATIENCE_S. Then it raises StoreHeld. `work` may
        be called again.
        """
        until = monotonic() + PATIENCE_S if ends is None else ends
        with self._turn(until), self._writer.held(until):
            self._file.check()
            self._unsynced.note()
            self._writes += 1
            if self._writes % LOOK_FOR_DEAD_EVERY == 0:
                self._env.reader_check()
            while True:
                with self._explaining():
                    try:
                        with self._env.begin(write=True) as txn:
                            return work(txn)
                    except lmdb.MapResizedError:
                        self._resize()
                    except lmdb.MapFullError:
                        self._resize(2 * self._env.info()["map_size"])

    @contextmanager
    def _turn(self, ends: float) -> Iterator[None]:
        """Among the threads of this process."""
        if not self._writing.acquire(timeout=max(0.0, ends - monotonic())):
            raise StoreHeld(f"another thread of this process is writing the online store "
                            f"{self.path}, for longer than anyone waits here")
        try:
            yield
        finally:
            self._writing.release()

    def size(self) -> int:
        """Bytes of the file that are in use."""
        return int((self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"])

    def close(self) -> None:
        with self._writing, self._reading:
            self.is_open = False
            try:
                self._unsynced.leave(lambda: self._env.sync(True))
            finally:
                self._env.close()
                self._close_files()

    def abandon(self) -> None:
        """In a forked child: the parent's stays as it is."""
        self.is_open = False
        self._unsynced.forget()
        self._env.close()
        self._close_files()

    def hold(self) -> None:
        """Let no transaction be open in this process until `let_go`."""
        self._writing.acquire()
        self._reading.acquire()

    def let_go(self) -> None:
        self._reading.release()
        self._writing.release()

    def _close_files(self) -> None:
        self._mapped.close()
        self._writer.close()

    def _resize(self, at_least: int = 0) -> None:
        with self._writing, self._reading, self._mapped.sizing(at_least) as size:
            self._env.set_mapsize(size)

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except lmdb.Error as error:
            raise _explained(self.path, error) from error


_lock = RLock()
_open: dict[Path, Environment] = {}


def environment(path: Path, user: object, *, first_size: int = FIRST_SIZE) -> Environment:
    """The one of `path`, opened if this process has not, for `user` until it calls `leave`.

    Raises StateDamaged if the file is none of ours or damaged.
    """
    path = path.absolute()
    with _lock:
        found = _open.get(path)
        if found is None or not found.is_current:
            # Whoever still uses a file that was replaced keeps it, until it writes.
            found = _open[path] = Environment(path, first_size)
        found.users.add(user)
        return found


def leave(found: Environment, user: object) -> None:
    """`user` is done with it: closed if nobody else uses it."""
    with _lock:
        found.users.discard(user)
        if not found.users:
            if _open.get(found.path) is found:
                del _open[found.path]
            found.close()


@atexit.register
def _close_all() -> None:
    with _lock:
        for each in _open.values():
            each.close()
        _open.clear()


def _before_fork() -> None:
    _lock.acquire()
    for each in _open.values():
        each.hold()


def _after_fork_in_parent() -> None:
    for each in _open.values():
        each.let_go()
    _lock.release()


def _after_fork_in_child() -> None:
    for each in _open.values():
        each.let_go()
        each.abandon()
    _open.clear()
    _lock.release()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)


def _open_file(path: Path, size: int, *, readonly: bool = False) -> lmdb.Environment:
    return lmdb.open(
        str(path), subdir=False, mode=PRIVATE_FILE, map_size=size, max_readers=READERS,
        readonly=readonly, writemap=not readonly, sync=False, metasync=False, lib_version=0,
        # One that is kept for the next read would be the parent's in a forked child.
        max_spare_txns=0,
    )


def require_sound(path: Path) -> None:
    """Raise StateDamaged unless the file is whole, ours, and of the format that we know.

    Looked at without changing it: opened as a map it would be made whole with nothing.
    """
    if Unsynced(path).is_suspect():
        raise StateDamaged(
            f"{path} (the online store) may be damaged: it was being written when the machine "
            f"stopped. {DO}")
    try:
        env = _open_file(path, path.stat().st_size, readonly=True)
    except lmdb.Error as error:
        raise _explained(path, error) from error
    with closing(env):
        info, there = env.info(), path.stat().st_size
        needed = (info["last_pgno"] + 1) * env.stat()["psize"]
        if info["last_txnid"] and there < needed:
            # To read what should be behind its end would end the process.
            raise StateDamaged(
                f"{path} (the online store) is damaged: it has {there} bytes of {needed}. {DO}")
        with env.begin() as txn:
            written, entries = txn.get(_FORMAT_KEY), txn.stat()["entries"]
    if written is None and entries:
        raise StateDamaged(f"{path} is foreign: an LMDB file, but no online store of "
                           "ml-assets. Choose another path")
    if written not in (None, b"%d" % FORMAT):
        raise StateDamaged(
            f"{path} (the online store) has format {written.decode(errors='replace')}; "
            f"this version of ml-assets knows {FORMAT}: install the newer version that wrote "
            f"it. Or go on without it. {DO}")


def _format(txn: Transaction) -> None:
    txn.put(_FORMAT_KEY, b"%d" % FORMAT)


_DAMAGE = (lmdb.CorruptedError, lmdb.InvalidError, lmdb.PageNotFoundError, lmdb.PanicError,
           lmdb.VersionMismatchError)


def _explained(path: Path, error: lmdb.Error) -> LogUnavailable:
    if isinstance(error, _DAMAGE):
        return StateDamaged(f"{path} (the online store) is damaged: {error}. {DO}")
    return LogUnavailable(f"the online store {path} cannot be used: {error}")
