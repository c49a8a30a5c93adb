"""A projection follows a log: each event counts once, whoever applies it, killed or not."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import numpy as np
import pytest

from ml_assets.core.errors import NotReady
from ml_assets.features.engine import state
from ml_assets.features.engine.history import aggregate
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import Row
from ml_assets.features.online_store.following.projection import FollowingStore
from ml_assets.features.online_store.lmdb.backend import LmdbBackend
from ml_assets.features.online_store.lmdb.events import Read, Stretch
from ml_assets.features.online_store.lmdb.keys import mark_entry, mark_of
from tests.features.engine.reference import Record, events_of
from tests.features.online_store.kit import happened, in_order, key, registered, rows_of, windowed

VIEW = windowed(
    ("count", "", 100_000, 1000), ("sum", "amount", 10_000, 1000), ("last", "amount", 1000, 1000),
    lateness=2000,
)
OTHER = windowed(("count", "", 100_000, 1000), name="other", lateness=2000)
LOG = b"log"
_fork = multiprocessing.get_context("fork")


def reading(events: list[Record], *views: WindowedView, noted: bool = False) -> Read:
    """Of a log that has these events, the first at position 1; three at a time."""
    def read(after: int, until: int | None) -> Stretch:
        upto = min(after + 3, len(events) if until is None else until)
        return Stretch(upto, [rows_of(view, events[after:upto]) for view in views], noted)

    return read


@pytest.fixture(params=["lmdb", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FollowingStore]:
    backend: FollowingStore
    if request.param == "lmdb":
        backend = LmdbBackend(tmp_path / "online.lmdb")
    else:
        url = request.getfixturevalue("redis_url")
        from ml_assets.features.online_store.redis.following import FollowingRedis

        backend = FollowingRedis(url, prefix=tmp_path.name)
    yield backend
    backend.close()


def catch_up(store: FollowingStore, read: Read, *views: tuple[WindowedView, int]) -> int:
    before, now = -1, 0
    while now > before:
        before, now = now, store.apply(LOG, views, read).upto
    return now


def counts(store: FollowingStore, view: WindowedView, view_id: int, *entities: int) -> list[float]:
    blobs = store.get(view_id, [key(each) for each in entities])
    found = state.read(view, blobs, np.full(len(entities), 50_000))
    return [float(each) for each in found[:, 0]]


def test_each_event_counts_once_however_often_the_log_is_followed(store: FollowingStore) -> None:
    view_id = registered(store, VIEW)
    events = [happened(at, entity=at % 2) for at in range(10)]
    assert catch_up(store, reading(events[:4], VIEW), (VIEW, view_id)) == 4
    assert counts(store, VIEW, view_id, 0, 1) == [2, 2]
    for _ in range(2):
        assert catch_up(store, reading(events, VIEW), (VIEW, view_id)) == 10
        assert counts(store, VIEW, view_id, 0, 1) == [5, 5]
    assert store.watermark(LOG, [view_id]) == 10
    assert store.watermark(b"another log", [view_id]) == 0


def test_a_view_that_comes_later_begins_at_the_beginning_and_joins_the_others(
    store: FollowingStore,
) -> None:
    first, events = registered(store, VIEW), [happened(at) for at in range(11)]
    catch_up(store, reading(events[:8], VIEW), (VIEW, first))
    second = registered(store, OTHER)
    assert store.watermark(LOG, [first, second]) == 0
    both = (VIEW, first), (OTHER, second)
    asked: list[tuple[int, int | None]] = []

    def read(after: int, until: int | None) -> Stretch:
        asked.append((after, until))
        return reading(events, VIEW, OTHER)(after, until)

    assert catch_up(store, read, *both) == 11
    assert asked == [(0, 8), (3, 8), (6, 8), (8, None), (11, None)]
    assert counts(store, VIEW, first, 0) == counts(store, OTHER, second, 0) == [11]


def test_the_mark_is_read_in_the_snapshot_of_the_state(store: FollowingStore) -> None:
    view_id = registered(store, VIEW)
    catch_up(store, reading([happened(1), happened(2)], VIEW), (VIEW, view_id))
    number, name = mark_entry(view_id, LOG)
    [[mark], [blob]] = store.get_many([(number, [name]), (view_id, [key(0)])])
    assert mark_of(mark) == 2
    assert blob is not None
    assert mark_of(store.get(*mark_entry_of(view_id, b"nothing"))[0]) == 0


def mark_entry_of(view_id: int, source: bytes) -> tuple[int, list[bytes]]:
    number, name = mark_entry(view_id, source)
    return number, [name]


def test_a_dropped_view_takes_its_mark_along_and_is_not_applied_to(store: FollowingStore) -> None:
    view_id, events = registered(store, VIEW), [happened(1), happened(2)]
    catch_up(store, reading(events, VIEW), (VIEW, view_id))
    store.drop(view_id)
    assert store.watermark(LOG, [view_id]) == 0
    with pytest.raises(NotReady, match="no feature view 'shopping'"):
        store.apply(LOG, [(VIEW, view_id)], reading(events, VIEW))
    assert store.watermark(LOG, [view_id]) == 0


def test_nothing_is_applied_if_reading_the_log_fails(store: FollowingStore) -> None:
    view_id = registered(store, VIEW)

    def fail(after: int, until: int | None) -> Stretch:
        raise OSError("no log")

    with pytest.raises(OSError, match="no log"):
        store.apply(LOG, [(VIEW, view_id)], fail)
    assert catch_up(store, reading([happened(1)], VIEW), (VIEW, view_id)) == 1


def test_what_was_appended_before_it_comes_in_the_log_counts_once(store: FollowingStore) -> None:
    view_id, events = registered(store, VIEW), [happened(at) for at in range(6)]
    store.append(VIEW, view_id, rows_of(VIEW, events[2:4]))
    catch_up(store, reading(events, VIEW), (VIEW, view_id))
    assert counts(store, VIEW, view_id, 0) == [6]


def test_what_the_log_counts_does_not_count_again_when_it_is_appended(tmp_path: Path) -> None:
    """Whether the store has applied it already, as 0 to 2, or not yet, as 3 and 4."""
    events = [happened(at) for at in range(6)]
    logged: list[Record] = events[:5]

    def counted(view: WindowedView, rows: list[Row] | object) -> set[tuple[bytes, int]]:
        return {(entity, uid) for entity, _, uid, _ in rows_of(view, logged)}

    store = LmdbBackend(tmp_path / "online.lmdb")
    view_id = registered(store, VIEW)
    store.apply(LOG, [(VIEW, view_id)], reading(logged, VIEW))
    assert store.append(VIEW, view_id, rows_of(VIEW, events), counted) == 1
    assert counts(store, VIEW, view_id, 0) == [4]
    logged = events
    catch_up(store, reading(logged, VIEW), (VIEW, view_id))
    assert counts(store, VIEW, view_id, 0) == [6]
    store.close()


def test_noted_events_of_a_source_count_once_wherever_they_come_again(
    store: FollowingStore,
) -> None:
    view_id, events = registered(store, VIEW), [happened(at) for at in range(6)]
    twice = [*events[:3], *events[:3]]
    catch_up(store, reading(twice, VIEW, noted=True), (VIEW, view_id))
    assert counts(store, VIEW, view_id, 0) == [3]
    assert store.append(VIEW, view_id, rows_of(VIEW, events[:4])) == 1
    catch_up(store, reading([*twice, *events], VIEW), (VIEW, view_id))
    assert counts(store, VIEW, view_id, 0) == [6]


def test_events_too_old_for_any_window_are_left_out(store: FollowingStore) -> None:
    view_id = registered(store, VIEW)
    store.expire(VIEW, view_id, 200_000)
    catch_up(store, reading([happened(1), happened(199_000)], VIEW), (VIEW, view_id))
    blobs = store.get(view_id, [key(0)])
    assert state.read(VIEW, blobs, np.array([200_000]))[0, 0] == 1


# Crashes


def open_log(path: Path) -> sqlite3.Connection:
    log = sqlite3.connect(path, isolation_level=None, timeout=30)
    log.execute("pragma journal_mode=wal")
    log.execute("pragma synchronous=normal")
    log.execute("create table if not exists log (seq integer primary key, at int, entity int)")
    return log


def events_in(log: sqlite3.Connection, after: int, until: int | None = None) -> list[Record]:
    return [
        happened(at, entity=entity, id=str(seq), amount=at * 0.1)
        for seq, at, entity in log.execute(
            "select * from log where seq > ? and seq <= ? order by seq limit 200",
            (after, until or 2**60),
        )
    ]


def following(log: sqlite3.Connection) -> Read:
    def read(after: int, until: int | None) -> Stretch:
        events = events_in(log, after, until)
        return Stretch(after + len(events), [rows_of(VIEW, events), rows_of(OTHER, events)])

    return read


def write_until_killed(folder: Path, views: tuple[int, int], seed: int) -> None:
    random = Random(seed)
    store = LmdbBackend(folder / "online.lmdb")
    both = (VIEW, views[0]), (OTHER, views[1])
    with closing(open_log(folder / "log.sqlite")) as log:
        while True:
            batch = [(random.randrange(50_000), random.randrange(20))
                     for _ in range(random.choice([1, 4, 64]))]
            log.execute("begin immediate")
            log.executemany("insert into log (at, entity) values (?, ?)", batch)
            log.execute("commit")
            store.apply(LOG, both, following(log))


@pytest.mark.slow
def test_two_writers_killed_at_any_instant_leave_a_store_that_catches_up_with_the_log(
    tmp_path: Path,
) -> None:
    """40 times, in the same file: to the bit what the log says."""
    store = LmdbBackend(tmp_path / "online.lmdb")
    views = registered(store, VIEW), registered(store, OTHER)
    random, behind = Random(1), 0
    with closing(open_log(tmp_path / "log.sqlite")) as log:
        for each in range(40):
            writers = [
                _fork.Process(target=write_until_killed, args=(tmp_path, views, 2 * each + place))
                for place in range(2)
            ]
            for writer in writers:
                writer.start()
            time.sleep(random.uniform(0.02, 0.15))
            for writer in writers:
                assert writer.pid is not None
                os.kill(writer.pid, signal.SIGKILL)
            for writer in writers:
                writer.join()
                assert writer.exitcode == -signal.SIGKILL
            (head,) = log.execute("select coalesce(max(seq), 0) from log").fetchone()
            assert store.watermark(LOG, views) <= head
            behind += store.watermark(LOG, views) < head
            both = (VIEW, views[0]), (OTHER, views[1])
            while store.apply(LOG, both, following(log)).upto < head:
                pass
        records: list[Record] = []
        while some := events_in(log, len(records)):
            records += some
        for view, view_id in zip((VIEW, OTHER), views, strict=True):
            as_of = np.full(20, 60_000)
            found = state.read(view, store.get(view_id, [key(each) for each in range(20)]), as_of)
            wanted = aggregate(
                view, events_of(view, in_order(records)), entity=np.arange(20), as_of=as_of
            )
            np.testing.assert_array_equal(found, wanted)
    assert len(records) > 1000
    assert behind, "no writer was killed between the log and the store"
    store.close()
