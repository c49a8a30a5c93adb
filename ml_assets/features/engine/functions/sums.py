"""Counts and exact sums, and what follows from them: means and variances."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ml_assets.features.engine.exact import (
    LIMIT,
    ONE,
    SQUARED_LIMIT,
    Floats,
    Ints,
    Limbs,
    split,
    split_squares,
    units_of_limbs,
    units_of_square,
    units_to_float,
    units_variance,
    variance,
)
from ml_assets.features.engine.functions.base import (
    Between,
    EventList,
    Function,
    Record,
    RecordStatistic,
    register,
)
from ml_assets.features.engine.series import Array, Series

_STEP = 1 << 16
"""Values that are split at a time: what is in between then stays in the cache."""


class EventCount(RecordStatistic):
    """The number of values that are there: (m) int64, or an int."""

    name, rank, form, dtype, empty = "n", 0, "q", np.dtype("<i8"), (0,)

    def over(self, series: Series) -> Between:
        return lambda first, end: end - first

    def merge(self, found: Ints, past: Array) -> Ints:
        merged: Ints = found + past
        return merged

    def scalar(
        self, events: EventList, begin: int, start: int, record: Record | None, item: int
    ) -> int:
        n = len(events.instants) - begin
        return n if record is None else n + record[item]


class Totals:
    """Sums of stretches by differences of running totals, which may wrap around."""

    def __init__(self, values: Floats, split: Callable[[Floats], Limbs]) -> None:
        """split: `exact.split` or `exact.split_squares`."""
        n = len(values)
        # A limb that is zero throughout, as the lower ones of whole numbers, takes no memory.
        self._limbs: list[Ints | None] = [None] * 4
        for start in range(0, n, _STEP):
            for place, limb in enumerate(split(values[start : start + _STEP])):
                totals = self._limbs[place]
                if totals is None:
                    if not limb.any():
                        continue
                    totals = self._limbs[place] = np.zeros(n + 1, dtype=np.int64)
                part = totals[start + 1 : start + 1 + len(limb)]
                np.cumsum(limb, out=part)
                part += totals[start]

    def between(self, first: Ints, end: Ints) -> Limbs:
        return Limbs(*(
            np.zeros(len(first), dtype=np.int64) if totals is None else totals[end] - totals[first]
            for totals in self._limbs
        ))


class Total(RecordStatistic):
    """The sum of the values: m limbs, or an int in units of 2**-64."""

    name, rank, form, dtype, empty = "sum", 1, "4q", np.dtype(("<i8", 4)), (0, 0, 0, 0)
    limit = LIMIT

    def over(self, series: Series) -> Between:
        return Totals(series.there, self._split).between

    def merge(self, found: Limbs, past: Array) -> Limbs:
        return found.plus(Limbs(*np.moveaxis(past, -1, 0)))

    def pack(self, found: Limbs) -> Array:
        return np.stack(found, axis=-1)

    def scalar(
        self, events: EventList, begin: int, start: int, record: Record | None, item: int
    ) -> int:
        units = events.prepared.get(self)
        if units is None:
            units = events.prepared[self] = self._units(events.values)
        total = sum(units[begin:] if begin else units)
        return total if record is None else total + units_of_limbs(record, item)

    def _split(self, values: Floats) -> Limbs:
        return split(values)

    def _units(self, values: list[float]) -> list[int]:
        # Cut off towards zero, as `split` does.
        return [int(value * ONE) for value in values]


class SquaresTotal(Total):
    """The same of their squares."""

    name, rank = "squares", 2
    limit = SQUARED_LIMIT

    def _split(self, values: Floats) -> Limbs:
        return split_squares(values)

    def _units(self, values: list[float]) -> list[int]:
        return [units_of_square(value) for value in values]


EVENTS, TOTAL, SQUARES = EventCount(), Total(), SquaresTotal()


@register
class Count(Function):
    name, meaning = "count", "events; with a column, those that have it"
    reads = "rows"
    needs = (EVENTS,)
    clock = "nothing"
    whole = True
    empty = 0.0

    def finish(self, as_of: Ints, n: Ints) -> Floats:
        return n.astype(np.float64)

    def finish_scalar(self, as_of: int, n: int) -> float:
        return float(n)


@register
class Sum(Function):
    name, meaning = "sum", "the exact sum"
    needs = (TOTAL,)
    clock = "nothing"
    empty = 0.0

    def finish(self, as_of: Ints, total: Limbs) -> Floats:
        return total.rounded

    def finish_scalar(self, as_of: int, total: int) -> float:
        return units_to_float(total)


@register
class Mean(Function):
    name, meaning, aliases = "mean", "the exact mean", ("avg",)
    needs = (EVENTS, TOTAL)
    clock = "nothing"

    def finish(self, as_of: Ints, n: Ints, total: Limbs) -> Floats:
        return total.rounded / n

    def finish_scalar(self, as_of: int, n: int, total: int) -> float:
        return units_to_float(total) / n if n else math.nan


@register
class SmoothedMean(Function):
    name = "smoothed_mean"
    meaning = "mean; (sum + prior * weight) / (n + weight), which starts at `prior`"
    parameters = ("prior", "weight")
    needs = (EVENTS, TOTAL)
    clock = "nothing"

    @property
    def empty(self) -> float:
        prior, weight = self.arguments
        return prior * weight / weight

    def expected(self) -> str:
        return "" if self.arguments[1] > 0 else "a positive weight"

    def finish(self, as_of: Ints, n: Ints, total: Limbs) -> Floats:
        prior, weight = self.arguments
        return (total.rounded + prior * weight) / (n + weight)

    def finish_scalar(self, as_of: int, n: int, total: int) -> float:
        prior, weight = self.arguments
        return (units_to_float(total) + prior * weight) / (n + weight)


@register
class Variance(Function):
    name, meaning, aliases = "variance", "of the population: zero for one event", ("var",)
    needs = (EVENTS, TOTAL, SQUARES)
    clock = "nothing"

    def finish(self, as_of: Ints, n: Ints, total: Limbs, squares: Limbs) -> Floats:
        return variance(n, total, squares)

    def finish_scalar(self, as_of: int, n: int, total: int, squares: int) -> float:
        return units_variance(n, total, squares)


@register
class StandardDeviation(Function):
    name, meaning, aliases = "std", "the square root of `variance`", ("stddev",)
    needs = (EVENTS, TOTAL, SQUARES)
    clock = "nothing"

    def finish(self, as_of: Ints, n: Ints, total: Limbs, squares: Limbs) -> Floats:
        return np.sqrt(variance(n, total, squares))

    def finish_scalar(self, as_of: int, n: int, total: int, squares: int) -> float:
        return math.sqrt(units_variance(n, total, squares))
