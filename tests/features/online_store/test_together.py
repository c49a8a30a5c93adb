"""Events counted by several views at once count as if each view had counted them alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.core.errors import ContractViolation, NotReady
from ml_assets.features.engine import state
from ml_assets.features.online_store.backend import digest_of
from ml_assets.features.online_store.counting import apply_events, event_row
from ml_assets.features.online_store.reader import FeatureReader, Wanted
from ml_assets.features.online_store.sqlite import blob_cache, memtable
from ml_assets.features.online_store.sqlite import event_ids as sqlite_ids
from ml_assets.features.online_store.sqlite import journal_table as sqlite_journal
from ml_assets.features.online_store.sqlite import state as sqlite_state
from ml_assets.features.online_store.sqlite.backend import SqliteState
from ml_assets.features.online_store.sqlite.memtable import Memtable
from ml_assets.features.online_store.stream import Stream, streams_of
from tests.features.online_store.kit import EVERYTHING, windowed

Event = dict[str, object]

KEYS = ("customer", "shop", "card")
VIEWS = tuple(
    replace(windowed(("count", "", 12, 3), ("sum", "amount", 12, 3), lateness=6, name=key),
            keys=(key,))
    for key in KEYS
)
NOW = 1_000


class Counts:
    """The store, and the simplest model of it: which ids each view has of each entity.

    states: as two processes have it, each with a memory of its own
    """

    def __init__(self, path: Path | str = ":memory:") -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        self.states = [SqliteState(self.db), SqliteState(self.db)]
        self.state = self.states[0]
        self.ids = [self.state.register(view.name, digest_of(view)) for view in VIEWS]
        self.wanted: dict[tuple[int, bytes], set[str]] = {}

    def together(self, places: tuple[int, ...], events: list[Event], process: int = 0) -> None:
        stream = Stream([VIEWS[place] for place in places])
        counted = [stream.counted(event) for event in events]
        self.states[process].append_together([(
            stream, [self.ids[place] for place in places],
            [each for each in counted if each is not None],
        )])
        for place in places:
            self._note(place, events)

    def alone(self, place: int, events: list[Event], process: int = 0) -> None:
        apply_events(VIEWS[place], self.states[process], self.ids[place], events)
        self._note(place, events)

    def anew(self, place: int) -> None:
        """The view is dropped and registered again, as if its definition had changed."""
        self.state.drop(self.ids[place])
        self.ids[place] = self.state.register(VIEWS[place].name, digest_of(VIEWS[place]))
        for key in [key for key in self.wanted if key[0] == place]:
            del self.wanted[key]

    def _note(self, place: int, events: list[Event]) -> None:
        for event in events:
            entity = event[KEYS[place]]
            if entity:
                key = place, str(entity).encode()
                self.wanted.setdefault(key, set()).add(str(event["event_id"]))

    def rows(self, state_: SqliteState | None = None) -> dict[tuple[int, bytes], list[bytes]]:
        """What a process reads in the store: the ids in each entity's blob, sorted."""
        found = {}
        for place, view_id in enumerate(self.ids):
            size = state.row_dtype(VIEWS[place]).itemsize
            entities = [b"a", b"b", b"x"]
            blobs = (state_ or self.state).get(view_id, entities)
            for entity, blob in zip(entities, blobs, strict=True):
                if blob is not None:
                    rows = blob[state.HEADER_SIZE :]
                    found[place, entity] = sorted(
                        rows[start + 8 : start + 16] for start in range(0, len(rows), size)
                    )
            assert (state_ or self.state).count(view_id) == sum(blob is not None for blob in blobs)
        return found

    def modelled(self) -> dict[tuple[int, bytes], list[bytes]]:
        found = {}
        for (place, entity), names in self.wanted.items():
            rows = [event_row(VIEWS[place], event(name, 0)) for name in names]
            found[place, entity] = sorted(row[3][8:16] for row in rows if row is not None)
        return found


def event(name: str, at: int = NOW, **entities: str | None) -> Event:
    return {**dict.fromkeys(KEYS, "x"), **entities, "event_id": name, "known_at": at,
            "amount": 1.0}


@pytest.fixture
def counts() -> Iterator[Counts]:
    made = Counts()
    yield made
    made.db.close()


def ids_noted(counts: Counts) -> tuple[int, int]:
    """(for single views, for groups)."""
    (alone,), (together,) = (
        counts.db.execute(f"select count(*) from {table}").fetchone()
        for table in ("online_seen", "online_together")
    )
    return alone, together


few = st.sampled_from(["a", "b", None, ""])
events = st.lists(st.builds(
    event, st.sampled_from("123456"), st.integers(NOW, NOW + 5),
    customer=few, shop=few, card=few,
), min_size=1, max_size=12)
places = st.permutations(range(len(VIEWS))).flatmap(
    lambda order: st.integers(1, len(order)).map(lambda size: tuple(order[:size]))
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(
    st.tuples(st.just("together"), places, events, st.integers(0, 1)),
    st.tuples(st.just("alone"), st.integers(0, len(VIEWS) - 1), events, st.integers(0, 1)),
    st.tuples(st.just("anew"), st.integers(0, len(VIEWS) - 1), st.none(), st.just(0)),
    # Forgets nothing of NOW: it only moves floors and bounds.
    st.tuples(st.just("expire"), st.integers(0, len(VIEWS) - 1), st.none(), st.integers(0, 1)),
    st.tuples(st.just("read"), st.none(), st.none(), st.integers(0, 1)),
    st.tuples(st.just("step"), st.integers(1, 3), st.none(), st.integers(0, 1)),
    st.tuples(st.just("settle"), st.none(), st.none(), st.integers(0, 1)),
), max_size=10))
def test_an_id_counts_once_for_each_view_and_entity_whatever_path_it_takes(
    steps: list[tuple[str, object, list[Event], int]],
) -> None:
    """Also where groups share views, keys are missing, ids come again with other entities, and
    the journal is brought to the tables in parts, by any process, or was not yet."""
    counts = Counts()
    for what, where, given_, process in steps:
        if what == "together":
            assert isinstance(where, tuple)
            counts.together(where, given_, process)
        elif what == "read":
            assert counts.rows(counts.states[process]) == counts.modelled()
        elif what == "settle":
            counts.states[process].settle(whole=True)
        else:
            assert isinstance(where, int)
            if what == "alone":
                counts.alone(where, given_, process)
            elif what == "anew":
                counts.anew(where)
            elif what == "step":
                settle_some(counts.states[process], where)
            else:
                counts.states[process].expire(VIEWS[where], counts.ids[where], NOW + 5)
    for each in (*counts.states, SqliteState(counts.db)):
        assert counts.rows(each) == counts.modelled()
    for each in counts.states:
        each.get(counts.ids[0], [b"a"])
        each.settle(whole=True)
        assert counts.rows(each) == counts.modelled()
    assert counts.db.execute("select count(*) from online_journal").fetchone() <= (1,)
    counts.db.close()


def settle_some(process: SqliteState, entities: int) -> None:
    """A step of so many entities, due or not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Memtable, "due", lambda memory: entities)
        process.settle()


@settings(max_examples=30, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(events, max_size=6))
def test_blobs_are_those_of_views_that_count_alone_bit_by_bit(
    monkeypatch: pytest.MonkeyPatch, batches: list[list[Event]]
) -> None:
    """Folded ones too."""
    monkeypatch.setattr(state, "FOLD_ROWS", 3)
    monkeypatch.setattr(sqlite_state, "LOOK", 1)
    for module in (sqlite_journal, blob_cache):
        monkeypatch.setattr(module, "SMALL", 0)
    one, other = Counts(), Counts()
    for n, batch in enumerate(batches):
        # Ids that are new in each batch and differ in it, so that the order in a blob is given.
        fresh = [{**each, "event_id": f"{n}-{m}"} for m, each in enumerate(batch)]
        one.together((0, 1, 2), fresh)
        for place in range(3):
            other.alone(place, fresh)
        for view_id in one.ids:
            one.state.get(view_id, [b"a", b"b"])  # what is read is looked at
        one.state.settle(whole=True)
    query = "select view, entity, state from online_state where view > 0 and entity > x''"
    # A fold looks after each batch here, at each entity that a row was added to.
    assert one.db.execute(query).fetchall() == other.db.execute(query).fetchall()
    one.db.close()
    other.db.close()


def test_an_entity_that_is_everybody_s_is_folded_in_memory_and_in_the_tables(
    counts: Counts,
) -> None:
    """Long before its events are due in the tables."""
    limit = 300 * state.row_dtype(VIEWS[0]).itemsize
    for n in range(200):
        counts.together((0,), [event(f"{n} {m}", NOW + n) for m in range(10)])
        [blob] = counts.state.get(counts.ids[0], [b"x"])
        assert blob is not None
        assert len(blob) < limit, "of 2,000 rows"
    counts.state.settle(whole=True)
    (stored,) = counts.db.execute(
        "select state from online_state where view = ? and entity = x'78'", (counts.ids[0],)
    ).fetchone()
    assert len(stored) < limit
    as_of = np.array([NOW + 200])
    in_memory, in_table, elsewhere = (
        state.read(VIEWS[0], [each], as_of).tolist()
        for each in (blob, stored, *counts.states[1].get(counts.ids[0], [b"x"]))
    )
    assert in_memory == in_table == elsewhere == [[120.0, 120.0]]


@given(st.lists(st.tuples(few, few, st.sampled_from([NOW + 1, NOW + 7])), min_size=1, max_size=40))
def test_what_several_ask_at_once_each_gets_as_if_it_asked_alone(
    asked: list[tuple[str | None, str | None, int]],
) -> None:
    """Entities that several have in common, at one instant and at others, known and not."""
    counts = Counts()
    counts.together((0, 1), [event(f"{n}", NOW + n, customer="ab"[n % 2]) for n in range(7)])
    reader = FeatureReader(counts.state, [Wanted(view, view.columns) for view in VIEWS[:2]])
    keys = [{"customer": customer, "shop": shop and "x"} for customer, shop, _ in asked]
    instants = np.array([at for *_, at in asked])
    for _ in range(2):  # from the store, then from memory
        together, as_of, _ = reader.read(keys, instants)
        assert as_of.tolist() == instants.tolist()
        for place, key in enumerate(keys):
            alone, *_ = reader.read([key], instants[place : place + 1])
            np.testing.assert_array_equal(together[place], alone[0])
    counts.db.close()


def test_a_reader_that_flushes_nothing_begins_anew_rather_than_grow_for_ever(
    counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memtable, "FLUSH_EVENTS", 2)
    writer, reader = counts.states
    for n in range(40):
        counts.together((0, 1, 2), [event(f"{n}")])
        settle_some(writer, 3)
        assert counts.rows(reader) == counts.modelled()
    assert len(reader._memory.recent) < 20


def test_an_event_of_several_views_is_noted_once(counts: Counts) -> None:
    counts.together((0, 1, 2), [event("1"), event("2")])
    assert ids_noted(counts) == (0, 0), "it is in the journal"
    counts.state.settle(whole=True)
    assert ids_noted(counts) == (0, 2)
    counts.alone(1, [event("1"), event("2"), event("3")])
    assert ids_noted(counts) == (1, 2)
    assert counts.rows() == counts.modelled()


@pytest.mark.parametrize("most_alone", [0, 1000])
def test_a_batch_with_an_id_that_one_view_knows_is_counted_view_by_view(
    counts: Counts, monkeypatch: pytest.MonkeyPatch, most_alone: int
) -> None:
    """Whether the ids of single views are few enough to be held in memory or not."""
    monkeypatch.setattr(sqlite_ids, "MOST_ALONE", most_alone)
    counts.alone(1, [event("1")])
    counts.together((0, 1, 2), [event("1"), event("2")])
    assert ids_noted(counts) == (1 + 2 + 3, 0)
    assert counts.rows() == counts.modelled()


def test_ids_are_forgotten_when_no_view_of_the_group_needs_them(counts: Counts) -> None:
    """The floors of all its views have passed them by the longest window; a floor refuses
    them from then on."""
    counts.together((0, 1, 2), [event("1", 10), event("2", NOW)])
    counts.state.settle(whole=True)
    for place in (0, 1):
        counts.state.expire(VIEWS[place], counts.ids[place], NOW)
        assert ids_noted(counts) == (0, 2)
    counts.state.expire(VIEWS[2], counts.ids[2], NOW)
    assert ids_noted(counts) == (0, 1)
    before = counts.rows()
    counts.together((0, 1, 2), [event("1", 10), event("3", NOW)])
    counts.together((0, 1, 2), [event("2", NOW)])
    counts.alone(0, [event("1", 10), event("2", NOW)])
    added = {key: len(rows) - len(before[key]) for key, rows in counts.rows().items()}
    assert added == {(place, b"x"): 1 for place in range(3)}


def test_a_dropped_view_s_part_of_a_group_goes_and_the_last_takes_the_ids(
    counts: Counts,
) -> None:
    counts.together((0, 1), [event("1")])
    counts.state.settle(whole=True)
    counts.state.drop(counts.ids[0])
    assert ids_noted(counts) == (0, 1)
    counts.alone(1, [event("1")])
    assert ids_noted(counts) == (0, 1)
    counts.state.drop(counts.ids[1])
    assert ids_noted(counts) == (0, 0)
    assert counts.db.execute("select count(*) from online_groups").fetchone() == (0,)


def test_a_view_that_is_gone_takes_nothing_also_together(counts: Counts) -> None:
    counts.state.drop(counts.ids[1])
    with pytest.raises(NotReady, match="no feature view 'shop' as this process knows it"):
        counts.together((0, 1, 2), [event("1")])
    assert ids_noted(counts) == (0, 0)


def test_what_is_undone_with_the_transaction_was_not_counted(counts: Counts) -> None:
    """Also the group that was made for it."""
    counts.db.execute("begin")
    counts.together((0, 1, 2), [event("1"), event("2")])
    counts.db.execute("rollback")
    counts.wanted.clear()
    assert counts.rows() == {}
    counts.together((2, 0), [event("1")])
    counts.alone(1, [event("1")])
    assert counts.rows() == counts.modelled()


@given(event=st.fixed_dictionaries({
    "customer": st.one_of(st.none(), st.text(max_size=3)), "shop": st.sampled_from(["a", None]),
    "event_id": st.text(max_size=3), "known_at": st.integers(-2**40, 2**40),
    "amount": st.one_of(st.none(), st.floats(-1e6, 1e6)), "pages": st.integers(0, 9),
    "paid": st.booleans(),
}))
def test_an_event_packs_for_each_view_of_a_stream_as_for_the_view_alone(event: Event) -> None:
    """Views with the same columns, with others, with two keys."""
    views = [EVERYTHING, *VIEWS[:2], replace(VIEWS[0], name="pair", keys=("customer", "shop"))]
    counted = Stream(views).counted(event)
    for place, view in enumerate(views):
        assert (None if counted is None else counted.row(place)) == event_row(view, event)


def test_views_that_read_other_columns_are_another_stream() -> None:
    later = replace(VIEWS[1], timestamp="accepted_at")
    found = streams_of([(VIEWS[0], 1), (later, 2), (VIEWS[2], 3)])
    assert [(stream.views, numbers) for stream, numbers in found] == [
        ((VIEWS[0], VIEWS[2]), [1, 3]), ((later,), [2]),
    ]


def test_an_event_without_an_id_is_refused() -> None:
    with pytest.raises(ContractViolation, match="'event_id' is null; every event needs an id"):
        Stream(VIEWS).counted({**event("1"), "event_id": None})
