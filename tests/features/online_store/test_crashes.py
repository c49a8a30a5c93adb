"""What other processes do meanwhile: they crash, and they write at the same time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from ml_assets.features.engine import state
from ml_assets.features.engine.history import aggregate
from ml_assets.features.online_store.backend import Backend
from ml_assets.features.online_store.lmdb.backend import LmdbBackend
from tests.features.engine.reference import Record, events_of
from tests.features.online_store.kit import happened, in_order, key, registered, rows_of, windowed

VIEW = windowed(
    ("count", "", 100_000, 1000), ("sum", "amount", 10_000, 1000), ("last", "amount", 1000, 1000),
    lateness=2000,
)
BATCH = 20
_spawn = multiprocessing.get_context("spawn")


def what_happens(batch: int) -> list[Record]:
    """Each batch is of two customers; half of its events come in the next one again."""
    start = batch * BATCH // 2
    return [happened(at * 10, entity=at % 2, amount=at * 0.1) for at in range(start, start + BATCH)]


def _open(kind: str, place: str) -> Backend:
    if kind == "lmdb":
        return LmdbBackend(Path(place))
    from ml_assets.features.online_store.redis.backend import RedisBackend

    return RedisBackend(place, prefix="crashes")


def append_batches(kind: str, place: str, batches: range, said: Connection) -> None:
    """Says the number of each batch once it is stored."""
    backend = _open(kind, place)
    view_id = backend.views()[VIEW.name].id
    for batch in batches:
        backend.append(VIEW, view_id, rows_of(VIEW, what_happens(batch)))
        said.send(batch)
    backend.close()


@pytest.fixture(params=["lmdb", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Its kind and its place."""
    if request.param == "redis":
        return "redis", request.getfixturevalue("redis_url")
    return request.param, str(tmp_path / f"online.{request.param}")


def test_a_killed_process_leaves_whole_batches_and_a_retry_completes_them(
    store: tuple[str, str]
) -> None:
    """Acknowledged is there; nothing is there half; nothing counts twice."""
    backend = _open(*store)
    view_id = registered(backend, VIEW)
    listener, said = _spawn.Pipe(duplex=False)
    writer = _spawn.Process(target=append_batches, args=(*store, range(100_000), said))
    writer.start()
    acknowledged = -1
    while acknowledged < 60:
        acknowledged = listener.recv()
    time.sleep(0.003)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    while listener.poll():
        acknowledged = listener.recv()
    # The next batch may have been stored and not acknowledged; a part of it may not.
    stored = [
        batches for batches in (acknowledged + 1, acknowledged + 2)
        if _is_what_is_stored(backend, view_id, batches)
    ]
    assert len(stored) == 1
    for batch in range(acknowledged + 5):
        backend.append(VIEW, view_id, rows_of(VIEW, what_happens(batch)))
    assert _is_what_is_stored(backend, view_id, acknowledged + 5)
    backend.drop(view_id)
    backend.close()


def test_processes_that_write_at_once_lose_nothing(store: tuple[str, str]) -> None:
    """Two, whose batches overlap, beside a third that folds and expires."""
    backend = _open(*store)
    view_id = registered(backend, VIEW)
    count = 60
    listener, said = _spawn.Pipe(duplex=False)
    writers = [
        _spawn.Process(target=append_batches, args=(*store, range(start, count, 2), said))
        for start in range(2)
    ]
    for writer in writers:
        writer.start()
    heard = 0
    while heard < count:
        listener.recv()
        heard += 1
        backend.expire(VIEW, view_id, 0)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert _is_what_is_stored(backend, view_id, count)
    backend.drop(view_id)
    backend.close()


def _is_what_is_stored(backend: Backend, view_id: int, batches: int) -> bool:
    records = [record for batch in range(batches) for record in what_happens(batch)]
    blobs = backend.get(view_id, [key(0), key(1)])
    # Late enough to see a further batch.
    as_of = np.full(2, max(record.at for record in records) + 500)
    wanted = aggregate(
        VIEW, events_of(VIEW, in_order(records)), entity=np.array([0, 1]), as_of=as_of
    )
    return np.array_equal(state.read(VIEW, blobs, as_of), wanted, equal_nan=True)


