"""A writer of another process that hangs costs others their patience, and no more."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from ml_assets.core.errors import StoreHeld
from ml_assets.features.online_store.lmdb import environment as opened
from ml_assets.features.online_store.lmdb.backend import LmdbBackend

_spawn = multiprocessing.get_context("spawn")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "online.lmdb"


def hang(path: Path, said: Connection) -> None:
    """Say so from within a write transaction, and stay in it."""
    def work(txn: object) -> None:
        said.send("writing")
        said.poll(None)

    with closing(LmdbBackend(path)) as store:
        opened.environment(path, store).write(work)


@contextmanager
def hanging(path: Path) -> Iterator[int]:
    """The id of a process that is in the middle of a transaction, and stopped."""
    ours, theirs = _spawn.Pipe()
    process = _spawn.Process(target=hang, args=(path, theirs))
    process.start()
    theirs.close()
    assert ours.poll(60) and ours.recv() == "writing"
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield process.pid
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        ours.close()


def write(path: Path, store: LmdbBackend, *, patience_s: float) -> None:
    opened.environment(path, store).write(
        lambda txn: None, ends=time.monotonic() + patience_s)


def test_a_writer_stops_waiting_when_it_has_to_and_says_for_whom(path: Path) -> None:
    with closing(LmdbBackend(path)) as store:
        with hanging(path) as pid:
            with pytest.raises(StoreHeld, match=f"process {pid} has been writing .*end it if it"):
                write(path, store, patience_s=0.2)
            assert store.views() == {}, "readers wait for nobody"
        # The kernel has taken the lock from the one that was killed.
        write(path, store, patience_s=20)


def test_who_gives_no_end_has_one_all_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened, "PATIENCE_S", 0.2)
    with closing(LmdbBackend(path)) as store, hanging(path), pytest.raises(TimeoutError):
        store.register("toy", "digest")


def test_a_thread_that_hangs_is_not_waited_for_either(path: Path) -> None:
    with closing(LmdbBackend(path)) as store, ThreadPoolExecutor(1) as other:
        def work(txn: object) -> None:
            with pytest.raises(StoreHeld, match="another thread of this process"):
                other.submit(write, path, store, patience_s=0.1).result()

        opened.environment(path, store).write(work)
        write(path, store, patience_s=0.1)
