"""Laws of the daily histories, against a plain reading of their definition."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.time import DAY
from ml_assets.features.daily_history import at_rest, changes, values_at
from ml_assets.features.manifest import Aggregate
from ml_assets.ingest.lake import INSTANT

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = [START + n * DAY for n in range(1, 12)]
AGGREGATES = (
    Aggregate(name="shop_events_1d", kind="count", over="events", window=DAY),
    Aggregate(name="shop_events_3d", kind="count", over="events", window=3 * DAY),
    Aggregate(name="shop_labelled_4d", kind="count", over="labels", window=4 * DAY),
    Aggregate(name="shop_returned_4d", kind="positives", over="labels", window=4 * DAY),
    Aggregate(name="shop_rate_4d", kind="rate", over="labels", window=4 * DAY, prior=0.3, weight=2),
)
NAMES = [aggregate.name for aggregate in AGGREGATES]

Event = tuple[str, datetime, datetime, str]
Word = tuple[str, datetime, bool]

# Instants at, just before and just after a midnight, besides any other.
instants = st.one_of(
    st.integers(0, 10 * 24 * 60).map(lambda minute: START + timedelta(minutes=minute)),
    st.tuples(st.integers(0, 10), st.sampled_from([-1, 0, 1])).map(
        lambda pair: START + pair[0] * DAY + timedelta(microseconds=pair[1])
    ),
)


@st.composite
def pasts(draw: st.DrawFn) -> tuple[list[Event], list[Word]]:
    """Events of three shops and of none, some received late; words about them, some corrected."""
    events: list[Event] = []
    words: list[Word] = []
    for number in range(draw(st.integers(0, 12))):
        at = draw(instants)
        received = at.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
        late = draw(st.sampled_from([0, 0, 0, 1, 2]))
        shop = draw(st.sampled_from(["", "a", "b", "c"]))
        events.append((f"e{number}", at, received + late * DAY, shop))
        for delay in draw(st.lists(st.integers(0, 5 * 24), max_size=2, unique=True)):
            words.append((f"e{number}", at + timedelta(hours=delay), draw(st.booleans())))
    return events, words


def tables(events: list[Event], words: list[Word]) -> tuple[pa.Table, pa.Table]:
    event_schema = pa.schema([("event_id", pa.string()), ("event_timestamp", INSTANT),
                              ("known_from", INSTANT), ("shop", pa.string())])
    label_schema = pa.schema([("event_id", pa.string()), ("known_at", INSTANT),
                              ("label", pa.bool_())])
    return tuple(
        pa.table([pa.array([row[n] for row in rows], field.type) for n, field in enumerate(schema)],
                 schema=schema)
        for rows, schema in ((events, event_schema), (words, label_schema))
    )


def histories(
    events: list[Event], words: list[Word], days: list[datetime] = DAYS
) -> dict[tuple[datetime, str], tuple[float, ...]]:
    found = changes(*tables(events, words), key="shop", aggregates=AGGREGATES, instants=days,
                    since=None)
    return as_dict(found)


def as_dict(found: pa.Table) -> dict[tuple[datetime, str], tuple[float, ...]]:
    rows = {
        (row["event_timestamp"], row["shop"]): tuple(row[name] for name in NAMES)
        for row in found.to_pylist()
    }
    assert len(rows) == len(found), "an entity has two rows at one instant"
    return rows


def plainly(events: list[Event], words: list[Word], shop: str, at: datetime) -> tuple[float, ...]:
    """The definition, word by word."""
    mine = {event[0]: event for event in events if event[3] == shop and event[2] <= at}
    latest: dict[str, tuple[datetime, bool]] = {}
    for event_id, known_at, label in sorted(words, key=lambda word: word[1:]):
        if event_id in mine and known_at < at:
            latest[event_id] = (known_at, label)

    def happened(days: int) -> int:
        return sum(at - days * DAY <= event[1] < at for event in mine.values())

    heard = [label for known_at, label in latest.values() if known_at >= at - 4 * DAY]
    rate = (sum(heard) + 0.3 * 2) / (len(heard) + 2)
    exact = (happened(1), happened(3), len(heard), sum(heard), rate)
    return tuple(float(np.float32(value)) for value in exact)


@settings(max_examples=40, deadline=None)
@given(pasts())
def test_the_latest_row_of_an_entity_is_what_its_windows_hold(
    past: tuple[list[Event], list[Word]],
) -> None:
    events, words = past
    rest = tuple(float(np.float32(at_rest(aggregate))) for aggregate in AGGREGATES)
    rows = histories(events, words)
    for shop in ("a", "b", "c"):
        held = rest
        for at in DAYS:
            truth = plainly(events, words, shop, at)
            assert ((at, shop) in rows) == (truth != held), "a row where something changed"
            held = rows.get((at, shop), held)
            assert held == truth
    assert not [key for key in rows if key[1] == ""]


@settings(max_examples=15, deadline=None)
@given(pasts(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(
    past: tuple[list[Event], list[Word]], order: random.Random
) -> None:
    events, words = past
    shuffled = order.sample(events, len(events)), order.sample(words, len(words))
    assert histories(*shuffled) == histories(events, words)


@settings(max_examples=15, deadline=None)
@given(pasts(), st.sampled_from(DAYS))
def test_what_becomes_known_later_never_changes_an_earlier_row(
    past: tuple[list[Event], list[Word]], at: datetime
) -> None:
    events, words = past
    known = ([event for event in events if event[1] < at and event[2] <= at],
             [word for word in words if word[1] < at])
    upto = [day for day in DAYS if day <= at]
    before = {key: row for key, row in histories(events, words).items() if key[0] <= at}
    assert histories(*known, upto) == before


@settings(max_examples=8, deadline=None)
@given(pasts())
def test_a_history_built_day_by_day_is_the_one_built_at_once(
    past: tuple[list[Event], list[Word]],
) -> None:
    one_by_one: dict[tuple[datetime, str], tuple[float, ...]] = {}
    for number, at in enumerate(DAYS[:6]):
        day = changes(*tables(*past), key="shop", aggregates=AGGREGATES, instants=[at],
                      since=DAYS[number - 1] if number else None)
        one_by_one |= as_dict(day)
    assert one_by_one == histories(*past, DAYS[:6])


@settings(max_examples=15, deadline=None)
@given(pasts(), st.sampled_from(DAYS))
def test_all_values_at_an_instant_are_those_of_the_definition(
    past: tuple[list[Event], list[Word]], at: datetime
) -> None:
    found = as_dict(values_at(*tables(*past), key="shop", aggregates=AGGREGATES, instants=[at]))
    for (_, shop), row in found.items():
        assert row == plainly(*past, shop, at)


def test_a_correction_replaces_the_label_and_is_counted_when_it_came() -> None:
    at = START + timedelta(hours=12)
    events: list[Event] = [("e", at, START + DAY, "a")]
    words: list[Word] = [("e", at + DAY, True), ("e", at + 2 * DAY, False)]
    rows = histories(events, words)
    spam = NAMES.index("shop_returned_4d")
    labelled = NAMES.index("shop_labelled_4d")
    assert rows[DAYS[1], "a"][spam] == 1
    assert rows[DAYS[2], "a"][spam] == 0
    assert rows[DAYS[2], "a"][labelled] == 1
    assert rows[DAYS[6], "a"][labelled] == 0, "four days after the correction, not the first word"


def test_an_event_that_comes_twice_counts_once() -> None:
    at = START + timedelta(hours=1)
    events: list[Event] = [("e", at, START + DAY, "a"), ("e", at, START + 2 * DAY, "a")]
    assert histories(events, [])[DAYS[0], "a"][0] == 1


def test_an_aggregate_over_events_alone_needs_no_labels() -> None:
    events: list[Event] = [("e", START, START + DAY, "a")]
    found = changes(*tables(events, []), key="shop", aggregates=AGGREGATES[:1], instants=DAYS,
                    since=None)
    assert [row["shop_events_1d"] for row in found.to_pylist()] == [1.0, 0.0]


def test_instants_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="instants must rise"):
        changes(*tables([], []), key="shop", aggregates=AGGREGATES, instants=[DAYS[1], DAYS[0]],
                since=None)
