"""Positions: one sequence for all that is counted, whoever writes and whatever comes back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.positions import Load, last_position, note_load
from ml_assets.ingest.log.served import to_us
from tests.ingest.log.test_event_log import NOON, OLD, prediction


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


@pytest.fixture
def log(path: Path) -> Iterator[EventLog]:
    log = EventLog(path)
    yield log
    log.close()


def positions(log: EventLog) -> list[int | None]:
    return [each.seq for each in log.predictions("toy", NOON, NOON + timedelta(days=1))]


def test_predictions_and_loads_share_one_sequence(log: EventLog) -> None:
    assert last_position(log.connection) == 0
    log.append([prediction("a"), prediction("b")])
    note_load(log.connection, "shop", "1", 10, 20)
    log.append([prediction("c")])
    assert positions(log) == [1, 2, 4]
    assert log.loads("shop", "1") == [Load(seq=3, since=10, until=20)]
    assert log.loads("shop", "2") == log.loads("till", "1") == []
    assert last_position(log.connection) == 4


def test_what_the_state_does_not_count_has_no_position(log: EventLog) -> None:
    log.append([prediction("a")], counted=False)
    log.append([prediction("b")])
    assert positions(log) == [None, 1]


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=5), max_size=6))
def test_an_event_keeps_its_position_whatever_comes_again(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[str]]
) -> None:
    log = EventLog(tmp_path_factory.mktemp("log") / "log.sqlite")
    first: dict[str, int | None] = {}
    for batch in batches:
        log.append([prediction(event_id) for event_id in batch])
        for event_id in dict.fromkeys(batch):
            stored = log.answer_to("toy", event_id)
            assert stored is not None
            assert first.setdefault(event_id, stored.seq) == stored.seq
    taken = [seq for seq in first.values() if seq is not None]
    assert len(taken) == len(first)
    assert taken == sorted(set(taken)), "in the order of the log, each once"
    log.close()


def test_writers_that_race_never_get_the_same_position(path: Path) -> None:
    logs = [EventLog(path) for _ in range(4)]

    def write(number: int) -> None:
        for n in range(50):
            logs[number].append([prediction(f"{n}"), prediction(f"{number} {n}")])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    taken = positions(logs[0])
    assert len(set(taken)) == len(taken) == 50 + 4 * 50
    for each in logs:
        each.close()


def test_what_an_undone_transaction_took_is_free_again(log: EventLog) -> None:
    def fail(connection: sqlite3.Connection, new: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        log.append([prediction("a")], fail)
    log.append([prediction("b")])
    assert positions(log) == [1]


def test_in_a_log_of_before_there_were_positions_all_was_counted_at_the_start(path: Path) -> None:
    old = sqlite3.connect(path)
    old.executescript(OLD)
    old.close()
    log = EventLog(path)
    before = log.answer_to("toy", "a")
    assert before is not None
    assert (before.seq, before.state_seq) == (None, None)
    [load] = log.loads("any view", "of any definition")
    assert (load.seq, load.until) == (0, to_us(before.accepted_at) + 1)
    log.append([prediction("b")])
    after = log.answer_to("toy", "b")
    assert after is not None and after.seq == 1
    log.close()
