"""Positions: one sequence for all that is counted, whoever writes and whatever comes back."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.errors import ContractViolation
from ml_assets.core.storage.database import Database
from ml_assets.core.storage.places import Place
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.positions import (
    Load,
    LoadEntry,
    PackedCounts,
    counted_ids,
    first_load,
    forget_counts,
    identity_of,
    knows_view,
    last_position,
    note_load,
    positions_of,
    request_at,
    told_of,
    views_of,
)
from ml_assets.ingest.log.served import to_us
from tests.ingest.log.test_event_log import NOON, OLD, name_of, prediction


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


@pytest.fixture
def log(place: Place) -> Iterator[EventLog]:
    log = EventLog(place)
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


def test_what_a_prediction_counts_is_kept_beside_it(log: EventLog) -> None:
    counts = PackedCounts(b"12345678", "[[], []]", [b"12345678a", b"12345678b"])
    log.append([prediction("a"), prediction("b")], counts)
    log.append([prediction("c"), prediction("x", system="other")])
    found = positions_of(log.connection, "toy", 0, 9, 100)
    assert [(each.seq, each.event_id, each.counts) for each in found] == [
        (1, "a", b"12345678a"), (2, "b", b"12345678b"), (3, "c", None)]
    assert views_of(log.connection, b"12345678") == "[[], []]"
    assert [each.seq for each in positions_of(log.connection, "toy", 1, 3, 1)] == [2]
    assert request_at(log.connection, 3) == prediction("c").request
    asked = [name_of("a"), name_of("b"), "nobody"]
    assert counted_ids(log.connection, asked) == set(asked[:2])


def test_the_rows_of_a_load_are_kept_until_its_view_has_counted_them(log: EventLog) -> None:
    note_load(log.connection, "shop", "1", 10, 20, b"rows")
    note_load(log.connection, "till", "1", 10, 20, b"rows")
    found = first_load(log.connection, 0, 9)
    assert found == LoadEntry(1, "shop", "1", 10, 20, b"rows")
    forget_counts(log.connection, "shop", 2)
    assert first_load(log.connection, 0, 9) == found._replace(counts=None)
    assert first_load(log.connection, 1, 9) == LoadEntry(2, "till", "1", 10, 20, b"rows")
    assert first_load(log.connection, 2, 9) is None


def test_a_view_is_known_if_it_was_loaded_or_fed(log: EventLog) -> None:
    assert not knows_view(log.connection, "shop", "1")
    fed = PackedCounts(b"12345678", '[[["shop", "1", 0]], [8]]', [b"12345678"])
    log.append([prediction("a")], fed)
    note_load(log.connection, "till", "2", 10, 20)
    known = [(name, digest) for name in ("shop", "till") for digest in "12"
             if knows_view(log.connection, name, digest)]
    assert known == [("shop", "1"), ("till", "2")]


def test_every_log_has_an_identity_of_its_own(
    place: Place, log: EventLog, tmp_path: Path
) -> None:
    assert identity_of(log.connection) == identity_of(EventLog(place).connection)
    assert identity_of(log.connection) != identity_of(EventLog(tmp_path / "other").connection)


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


def test_writers_that_race_never_get_the_same_position(place: Place) -> None:
    logs = [EventLog(place) for _ in range(4)]

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
    with pytest.raises(ContractViolation):
        log.append([prediction("a"), prediction("b", score=float("nan"))])
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
    assert after is not None and after.seq == 2
    log.close()


class Listening:
    """Notes the queries with their parameters in place."""

    def __init__(self, real: Database, said: list[str]) -> None:
        self._real, self._said = real, said

    def execute(self, query: str, parameters: Sequence[object]) -> object:
        filled = iter(parameters)
        self._said.append(re.sub(r"\?", lambda _: _literal(next(filled)), query))
        return self._real.execute(query, parameters)


def _literal(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


@pytest.mark.parametrize(("ask", "table"), [(positions_of, "predictions"), (told_of, "told")])
def test_what_lies_behind_a_position_is_found_by_it_however_much_there_is(
    place: Place, log: EventLog, ask: Callable[..., object], table: str
) -> None:
    """By system, all that the system has ever logged was read and sorted, for each batch anew."""
    said: list[str] = []
    ask(Listening(log.connection, said), "toy", 10, 20, 256)
    if isinstance(place, Path):
        [plan] = log.connection.execute(f"explain query plan {said[-1]}").fetchall()
        assert f"{table}_by_seq (seq>? AND seq<?)" in plan[-1]
    else:
        log.connection.execute("set enable_seqscan to off")  # an empty table is read as a whole
        plans = log.connection.execute(f"explain {said[-1]}").fetchall()
        assert any(f"{table}_seq_key" in line for (line,) in plans)
