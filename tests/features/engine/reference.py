"""What windowed aggregates mean, as slowly and plainly as can be: the oracle of the tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ml_assets.features.engine.events import Events, uid, uids
from ml_assets.features.engine.windows import Aggregate, Slot, WindowedView

Value = float | int | bool | str | None


@dataclass(frozen=True, kw_only=True)
class Record:
    """One event as it came.

    entity:  a number for it; negative where it has none
    at:      when it counts, microseconds since 1970 UTC
    id:      of several records of one entity with the same only the first to arrive counts
    arrived: its place in the order of arrival
    values:  its columns
    """

    entity: int
    at: int
    id: str
    arrived: int
    values: Mapping[str, Value]


@dataclass(frozen=True)
class Answer:
    """What one number of a row should be, and how far off it may be."""

    name: str
    value: float
    within: float = 0.0

    def accepts(self, value: float) -> bool:
        if math.isnan(self.value) or math.isnan(value):
            return math.isnan(self.value) and math.isnan(value)
        return abs(value - self.value) <= self.within


def answers(
    view: WindowedView, records: Sequence[Record], entity: int, as_of: int,
    head: int | None = None,
) -> list[Answer]:
    """One for each of `view.columns`.

    as_of: as `view.as_of` has mapped it; head: events count only before it
    """
    if entity < 0:
        return [Answer(name, math.nan) for name in view.columns]
    theirs = _counting([each for each in records if each.entity == entity])
    before = as_of if head is None else min(as_of, head)
    return [
        answer for aggregate in view.aggregates
        for answer in _answers(
            aggregate, [each for each in theirs if each.at < before], as_of
        )
    ]


def disagreements(expected: Sequence[Answer], row: Sequence[float]) -> list[str]:
    """What of a row of features is not as it should be, in words."""
    return [
        f"{answer.name} is {value!r}; expected {answer.value!r} within {answer.within!r}"
        for answer, value in zip(expected, row, strict=True) if not answer.accepts(float(value))
    ]


def events_of(view: WindowedView, records: Sequence[Record]) -> Events:
    """The records as columns, in their order of arrival."""
    arrived = sorted(records, key=lambda each: each.arrived)
    return Events(
        entity=np.array([each.entity for each in arrived], dtype=np.int64),
        at=np.array([each.at for each in arrived], dtype=np.int64),
        uid=uids([each.id for each in arrived]),
        values={
            slot: np.array(
                [_as_slot(slot, each) for each in arrived],
                dtype=np.uint64 if slot.form == "hash" else np.float64,
            )
            for slot in view.slots
        },
    )


def _as_slot(slot: Slot, record: Record) -> float | int:
    value = record.values[slot.column]
    if slot.form == "hash":
        return 0 if _missing(value) else _hash(value)
    if slot.form == "rows":
        return math.nan if _missing(value) else 1.0
    # Infinite values are left as they are: the engine itself takes them for missing.
    return math.nan if value is None else float(value)


def _counting(records: Sequence[Record]) -> list[Record]:
    """Of each id the first to arrive, by (at, uid)."""
    first: dict[str, Record] = {}
    for each in sorted(records, key=lambda each: each.arrived):
        first.setdefault(each.id, each)
    return sorted(first.values(), key=lambda each: (each.at, uid(each.id)))


def _answers(aggregate: Aggregate, records: Sequence[Record], as_of: int) -> list[Answer]:
    """records: of the entity, before the end of the window, in order."""
    function, column = aggregate.function, aggregate.column
    window = [
        each for each in records
        if _is_in_window(each.at, as_of, aggregate)
        and not (column and _missing(each.values[column]))
    ]
    if function.name == "last_n":
        latest = [_number(each.values[column]) for each in reversed(window)]
        latest = (latest + [math.nan] * function.width)[: function.width]
        return [
            Answer(name, value) for name, value in zip(aggregate.columns, latest, strict=True)
        ]
    if function.name == "count":
        return [Answer(aggregate.name, len(window))]
    if function.name == "time_since_first":
        return [Answer(aggregate.name, _seconds(as_of - window[0].at) if window else math.nan)]
    if function.name == "time_since_last":
        return [Answer(aggregate.name, _seconds(as_of - window[-1].at) if window else math.nan)]
    if function.name == "approx_count_distinct":
        return [Answer(aggregate.name, _distinct([each.values[column] for each in window]))]
    values = [_number(each.values[column]) for each in window]
    return [_of_numbers(aggregate, values)]


def _of_numbers(aggregate: Aggregate, values: Sequence[float]) -> Answer:
    function, name, n = aggregate.function, aggregate.name, len(values)
    total = sum(map(Fraction, values), Fraction(0))
    # What is below 2**-64 of a value is lost.
    lost = n * 2.0**-64
    if function.name == "sum":
        return Answer(name, float(total), 1e-12 * abs(float(total)) + lost)
    if function.name == "smoothed_mean":
        prior, weight = map(Fraction, function.arguments)
        smoothed = (total + prior * weight) / (n + weight)
        size = float((abs(total) + abs(prior * weight)) / (n + weight))
        return Answer(name, float(smoothed), 1e-12 * size + lost)
    if not values:
        return Answer(name, math.nan)
    if function.name == "mean":
        return Answer(name, float(total / n), 1e-12 * abs(float(total / n)) + lost)
    if function.name in ("variance", "std"):
        squares = sum((Fraction(value) ** 2 for value in values), Fraction(0))
        variance = float(squares / n - (total / n) ** 2)
        # Cancellation costs what double-double arithmetic cannot hold of the squares.
        off = 1e-12 * variance + 1e-28 * float(squares) + 2.0**-60 * (1 + max(map(abs, values)))
        if function.name == "variance":
            return Answer(name, variance, off)
        deviation = math.sqrt(variance)
        return Answer(name, deviation, min(math.sqrt(off), off / deviation if deviation else 1))
    exact = {
        "min": min(values), "max": max(values), "first": values[0], "last": values[-1],
    }
    return Answer(name, exact[function.name])


def _is_in_window(at: int, as_of: int, aggregate: Aggregate) -> bool:
    """Time is cut into slides. A window is the slide of its last instant and those before it."""
    slides = aggregate.window // aggregate.slide
    newest = (as_of - 1) // aggregate.slide
    return newest - slides < at // aggregate.slide and at < as_of


def _distinct(values: Sequence[Value]) -> float:
    smallest = sorted({_hash(value) for value in values})[:256]
    if len(smallest) < 256:
        return len(smallest)
    return round(255 * (2.0**64 / float(smallest[-1])))


def _hash(value: Value) -> int:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return max(uid(text), 1)


def _number(value: Value) -> float:
    assert not isinstance(value, str)
    assert value is not None
    return float(value)


def _missing(value: Value) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _seconds(microseconds: int) -> float:
    return microseconds / 1_000_000
