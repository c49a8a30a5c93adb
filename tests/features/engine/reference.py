"""What windowed aggregates mean, as slowly and plainly as can be: the oracle of the tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ml_assets.core.codes import code_of
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
    if isinstance(value, str):
        return code_of(value)
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
    column = aggregate.column
    inside = [
        each for each in records
        if _is_in_window(each.at, as_of, aggregate)
        and not (column and _missing(each.values[column]))
    ]
    function = aggregate.function
    found = MEANINGS[function.name](Window(
        [each.values[column] if column else True for each in inside],
        [each.at for each in inside], as_of, function.arguments,
    ))
    if isinstance(found, list):
        return [Answer(name, value) for name, value in zip(aggregate.columns, found, strict=True)]
    return [Answer(aggregate.name, *(found if isinstance(found, tuple) else (found,)))]


class Window(NamedTuple):
    """The events in it that have a value, by (at, uid), for a function with these arguments."""

    values: Sequence[Value]
    at: Sequence[int]
    as_of: int
    arguments: tuple[float, ...]

    @property
    def numbers(self) -> list[float]:
        return [_number(value) for value in self.values]

    @property
    def total(self) -> Fraction:
        return sum(map(Fraction, self.numbers), Fraction(0))

    @property
    def lost(self) -> float:
        """What is below 2**-64 of a value."""
        return len(self.values) * 2.0**-64


Meaning = Callable[[Window], float | tuple[float, float] | list[float]]
"""A value, with how far off it may be if that is anything; or a list of values."""


def _sum(window: Window) -> tuple[float, float]:
    total = float(window.total)
    return total, 1e-12 * abs(total) + window.lost


def _mean(window: Window) -> tuple[float, float]:
    if not window.values:
        return math.nan, 0.0
    mean = float(window.total / len(window.values))
    return mean, 1e-12 * abs(mean) + window.lost


def _smoothed_mean(window: Window) -> tuple[float, float]:
    (prior, weight), n = map(Fraction, window.arguments), len(window.values)
    size = float((abs(window.total) + abs(prior * weight)) / (n + weight))
    return float((window.total + prior * weight) / (n + weight)), 1e-12 * size + window.lost


def _variance(window: Window) -> tuple[float, float]:
    numbers, n = window.numbers, len(window.values)
    if not n:
        return math.nan, 0.0
    squares = sum((Fraction(value) ** 2 for value in numbers), Fraction(0))
    variance = float(squares / n - (window.total / n) ** 2)
    # Cancellation costs what double-double arithmetic cannot hold of the squares.
    return variance, (
        1e-12 * variance + 1e-28 * float(squares) + 2.0**-60 * (1 + max(map(abs, numbers)))
    )


def _standard_deviation(window: Window) -> tuple[float, float]:
    variance, off = _variance(window)
    deviation = math.sqrt(variance)
    return deviation, min(math.sqrt(off), off / deviation if deviation else 1)


def _last_n(window: Window) -> list[float]:
    n = int(window.arguments[0])
    return (window.numbers[::-1] + [math.nan] * n)[:n]


def _most_frequent(window: Window) -> float:
    numbers = window.numbers
    return min(numbers, key=lambda number: (-numbers.count(number), number), default=math.nan)


def _approx_count_distinct(window: Window) -> float:
    smallest = sorted({_hash(value) for value in window.values})[:256]
    if len(smallest) < 256:
        return len(smallest)
    return round(255 * (2.0**64 / float(smallest[-1])))


MEANINGS: dict[str, Meaning] = {
    "count": lambda window: len(window.values),
    "sum": _sum,
    "mean": _mean,
    "variance": _variance,
    "std": _standard_deviation,
    "min": lambda window: min(window.numbers, default=math.nan),
    "max": lambda window: max(window.numbers, default=math.nan),
    "first": lambda window: window.numbers[0] if window.values else math.nan,
    "last": lambda window: window.numbers[-1] if window.values else math.nan,
    "time_since_first": lambda window: (
        _seconds(window.as_of - window.at[0]) if window.at else math.nan
    ),
    "time_since_last": lambda window: (
        _seconds(window.as_of - window.at[-1]) if window.at else math.nan
    ),
    "last_n": _last_n,
    "approx_count_distinct": _approx_count_distinct,
    "smoothed_mean": _smoothed_mean,
    "most_frequent": _most_frequent,
}
"""Each function of the engine; one that is registered and not here fails the laws."""

ARGUMENTS: dict[str, Sequence[tuple[float, ...]]] = {
    "last_n": ((3,), (1,), (2,), (4,)), "smoothed_mean": ((0.3, 2.0), (0.0, 5.0)),
}
"""To try the functions with that have any."""


def _is_in_window(at: int, as_of: int, aggregate: Aggregate) -> bool:
    """Time is cut into slides. A window is the slide of its last instant and those before it."""
    slides = aggregate.window // aggregate.slide
    newest = (as_of - 1) // aggregate.slide
    return newest - slides < at // aggregate.slide and at < as_of


def _hash(value: Value) -> int:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return max(uid(text), 1)


def _number(value: Value) -> float:
    assert value is not None
    return float(code_of(value) if isinstance(value, str) else value)


def _missing(value: Value) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _seconds(microseconds: int) -> float:
    return microseconds / 1_000_000
