"""The log in PostgreSQL: what only a server on another host can do to its writers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from ml_assets.core.errors import ContractViolation, LogBusy, LogUnavailable
from ml_assets.core.profiles.own_postgres import OwnPostgres
from ml_assets.core.storage.places import PostgresTables
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.positions import PackedCounts, last_position, note_load, positions_of
from ml_assets.ingest.log.told import ToldEvent
from ml_assets.registry.deployments import Deployments
from tests.ingest.log.test_event_log import NOON, name_of, prediction, said
from tests.places import fresh


@pytest.fixture
def tables(postgres_url: str) -> PostgresTables:
    return fresh(postgres_url, "predictions")


@pytest.fixture
def log(tables: PostgresTables) -> Iterator[EventLog]:
    with closing(EventLog(tables)) as log:
        yield log


def test_a_crash_of_the_server_loses_nothing_acknowledged_and_is_survived(
    postgres_server: OwnPostgres, tables: PostgresTables, log: EventLog
) -> None:
    """Whoever holds a connection learns that it is gone; who asks next gets a new one."""
    record = Deployments(fresh(tables.url, "deployments"))
    for n in range(50):
        log.append([prediction(f"{n} {k}") for k in range(4)])
    log.feedback.add(said(name_of("0 0"), True))
    first = record.promote("toy", 1, reason="the first", by="tests", at=NOON)
    log.connection.begin()
    log.connection.execute("delete from shadow_scores")  # in the middle of something
    postgres_server.crash()
    try:
        with pytest.raises(LogUnavailable, match="cannot write the event log"):
            log.append([prediction("late")])
        with pytest.raises(LogUnavailable, match=f"cannot open the event log {tables.schema}"):
            EventLog(tables)
        with pytest.raises(LogUnavailable, match="cannot"):
            record.current("toy")
    finally:
        postgres_server.start()
    assert record.current("toy") == first
    with closing(EventLog(tables)) as again:
        assert again.count("toy") == (200, 1)
        assert again.append([prediction("0 0", score=0.9)])[0].score == 0.25
        again.append([prediction("late")])
        assert last_position(again.connection) == 201


def test_a_writer_that_stands_still_loses_its_turn_and_what_it_had_begun(
    tables: PostgresTables, log: EventLog
) -> None:
    """As one whose host was frozen, or cut off, in the middle of a transaction."""
    with closing(EventLog(tables)) as frozen, closing(EventLog(tables, patience_s=0.05)) as short:
        frozen.connection.execute("set idle_in_transaction_session_timeout to '500ms'")
        frozen.connection.begin()
        note_load(frozen.connection, "shop", "1", 10, 20)
        with pytest.raises(LogBusy, match="another process is writing"):
            short.append([prediction("a")])
        log.append([prediction("a")])
        assert (last_position(log.connection), log.loads("shop", "1")) == (1, [])
        with pytest.raises(LogUnavailable, match="cannot write"):
            frozen.append([prediction("b")])


def test_a_reader_sees_positions_in_their_order_without_a_gap_whoever_writes(
    tables: PostgresTables, log: EventLog
) -> None:
    """Else what was committed later at an earlier position would never be applied."""
    def write(writer: int) -> None:
        with closing(EventLog(tables)) as mine:
            for n in range(30):
                if n % 5 == writer:
                    with mine._file.writing():
                        note_load(mine.connection, "shop", f"{writer}", n, n + 1)
                mine.append([prediction(f"{writer} {n} {k}") for k in range(1 + n % 3)])

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, number) for number in range(4)]
        looks = 0
        while not all(each.done() for each in writers):
            head = last_position(log.connection)
            there = {each.seq for each in positions_of(log.connection, "toy", 0, head, 10_000)}
            there |= {load.seq for each in range(4) for load in log.loads("shop", f"{each}")
                      if load.seq <= head}
            assert there == set(range(1, head + 1))
            looks += 1
            time.sleep(0.005)
        for each in writers:
            each.result()
    assert looks > 3


def test_another_writer_is_noticed_and_one_s_own_writing_is_told_apart(
    tables: PostgresTables, log: EventLog
) -> None:
    with closing(EventLog(tables)) as other:
        before = log.changes()
        log.append([prediction("a")])
        assert log.changes() == before
        other.append([prediction("b")])
        assert log.changes() != before


def test_answers_of_one_instant_come_in_the_order_of_code_points(log: EventLog) -> None:
    """As from a file, whatever the language of the database."""
    ids = ["B", "a", "Z", "e\u0301", "\u00e9", "_", "10", "9", "\U0001f600", "\uffee"]
    log.append([prediction(each) for each in ids])
    found = [each.event_id for each in log.predictions("toy", NOON, NOON + timedelta(days=1))]
    assert found == sorted(ids)


def event(event_id: str, request: str = "{}") -> ToldEvent:
    return ToldEvent(system="toy", stream="clicks", event_id=event_id, event_timestamp=NOON,
                     accepted_at=NOON, request=request)


def test_what_is_new_is_logged_in_one_round_trip_once_its_lists_are_there(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone and as a batch: nothing but `transact` talks to the server then."""
    counts = PackedCounts(b"fakelist", "[[], []]", [b"fakelist"] * 2)

    def appended(n: int) -> list[int]:
        """The position of the first of each."""
        batch = log.append_counted([prediction(f"{n} a"), prediction(f"{n} b")], counts)
        both = [event(f"{n} a"), event(f"{n} b")]
        assert log.told.append(both, counts) == both
        alone = log.append_new([prediction(f"{n} c")], None)
        assert alone is not None and batch.new == [0, 1]
        assert log.told.append([event(f"{n} c")]) == [event(f"{n} c")]
        return [batch.first, alone.first]

    assert [appended(n) for n in range(2)] == [[1, 5], [7, 11]]
    for name in ("execute", "begin", "insert", "executemany"):
        monkeypatch.setattr(log.connection, name, None)
    assert appended(2) == [13, 17]
    monkeypatch.undo()
    assert [each.seq for each in log.predictions_after("toy", 12, 99, 99)] == [13, 14, 17]
    assert [each.seq for each in log.told.find(
        "toy", "clicks", [f"2 {name}" for name in "abc"]).values()] == [15, 16, 18]
    assert last_position(log.connection) == 18


def test_what_is_refused_or_waits_in_vain_leaves_the_connection_as_it_was(
    tables: PostgresTables, log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    """More often than psycopg takes to prepare what comes again and again."""
    with closing(EventLog(tables, patience_s=0.05)) as mine:
        for n in range(8):
            assert mine.append([prediction(f"{n}")])[0].event_id == f"{n}"
            assert [each.score for each in mine.append(
                [prediction(f"{n}", score=0.75), prediction(f"{n} new")])] == [0.25, 0.25]
            assert mine.append_new([prediction(f"{n} new"), prediction(f"{n} other")], None) is None
            with pytest.raises(ContractViolation, match="cannot be logged"):
                mine.append([prediction(f"{n} bad", model_version=2**40)])
            log.connection.begin()
            with pytest.raises(LogBusy, match="another process is writing"):
                mine.append([prediction(f"{n} late")])
            log.connection.execute("rollback")
        # An event that is there already has taken a position for nothing.
        assert last_position(log.connection) == 24
        assert log.count("toy") == (16, 0)
    assert not caplog.records


@pytest.mark.parametrize("logged", [0, 1])
@pytest.mark.parametrize("bad", [
    {"request": "no\0text"}, {"model_version": 2**40}, {"score": float("nan")},
    {"propensity": 1.5},
])
def test_what_a_column_cannot_hold_is_refused_by_name_and_all_of_its_batch(
    log: EventLog, bad: dict[str, Any], logged: int
) -> None:
    """Whether in one round trip, copied as a batch or inserted alone."""
    log.append([prediction(f"before {n}") for n in range(logged)])
    some = [prediction(f"{n}") for n in range(5)]
    for batch in ([*some[:2], prediction("bad", **bad), *some[2:]], [prediction("bad", **bad)]):
        with pytest.raises(ContractViolation, match=r"event 'bad' of 'toy' .* cannot be logged"):
            log.append(batch)
        assert log.count("toy") == (logged, 0)
    assert log.append(some) == some
    assert [each.seq for each in log.predictions_after("toy", logged, 9, 9)] == [
        logged + n for n in (1, 2, 3, 4, 5)]


def test_an_event_that_another_process_logs_meanwhile_keeps_its_first_answer(
    tables: PostgresTables, log: EventLog
) -> None:
    """A batch is stored as a whole; the one that is there already has it stored row by row."""
    with closing(EventLog(tables)) as other:
        other.append([prediction("3", score=0.75)])
        stored = log.append_counted([prediction(f"{n}") for n in range(8)], None)
    assert [each.score for each in stored.stored] == [0.25] * 3 + [0.75] + [0.25] * 4
    assert stored.new == [0, 1, 2, 4, 5, 6, 7] and log.count("toy") == (8, 0)
