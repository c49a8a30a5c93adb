"""The smallest and the largest value."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ml_assets.features.engine.exact import Floats, Ints
from ml_assets.features.engine.functions.base import (
    Between,
    EventList,
    Function,
    Record,
    RecordStatistic,
    Statistic,
    register,
)
from ml_assets.features.engine.series import Array, Series

_BLOCK = 32

_SHORT, _FEW = 32, 1 << 17
"""Each stretch is reduced on its own if all together are at most so many times the column, or so
many values."""


class RangeExtreme:
    """The smallest or the largest value of stretches.

    The column is cut into blocks. A stretch is the end of one, some whole ones and the start
    of another; any number of whole ones is covered by two runs whose length is a power of two.
    Source: M. A. Bender and M. Farach-Colton, "The LCA problem revisited", 2000.
    """

    def __init__(self, values: Floats, least: np.ufunc) -> None:
        """least: `np.minimum` or `np.maximum`"""
        self._values, self._least = values, least
        self._runs: Floats | None = None

    def between(self, first: Ints, end: Ints) -> Floats:
        """NaN if a stretch is empty."""
        places = np.stack((first, end), axis=-1).ravel()
        steps = np.diff(places)
        if steps[steps > 0].sum() <= max(_SHORT * len(self._values), _FEW):
            # Each second stretch is what lies between two of those that are asked for.
            found = self._least.reduceat(np.append(self._values, np.nan), places)[::2]
            return np.where(end > first, found, np.nan)
        return self._by_runs(first, end)

    def _prepare(self) -> Floats:
        blocks = -(-len(self._values) // _BLOCK)
        padded = np.full((blocks, _BLOCK), np.inf if self._least is np.minimum else -np.inf)
        padded.ravel()[: len(self._values)] = self._values
        self._from_start = self._least.accumulate(padded, axis=1).ravel()
        runs = [self._from_start[_BLOCK - 1 :: _BLOCK]]
        self._least.accumulate(padded[:, ::-1], axis=1, out=padded[:, ::-1])
        self._to_end = padded.ravel()
        for width in powers(blocks)[1:]:
            run = runs[-1].copy()
            half = width // 2
            self._least(run[:-half], run[half:], out=run[:-half])
            runs.append(run)
        return np.stack(runs)

    def _by_runs(self, first: Ints, end: Ints) -> Floats:
        if self._runs is None:
            self._runs = self._prepare()
        found = np.full(len(first), np.nan)
        last = end - 1
        near = first // _BLOCK == last // _BLOCK
        some = np.flatnonzero(near & (last >= first))
        found[some] = self._within(first[some], end[some])
        some = np.flatnonzero(~near & (last >= first))
        found[some] = self._across(self._runs, first[some], last[some])
        return found

    def _within(self, first: Ints, end: Ints) -> Floats:
        """Of stretches that lie in one block."""
        found: Floats = self._values[first]
        for step in range(1, int((end - first).max(initial=0))):
            found = self._least(found, self._values[np.minimum(first + step, end - 1)])
        return found

    def _across(self, runs: Floats, first: Ints, last: Ints) -> Floats:
        found: Floats = self._least(self._to_end[first], self._from_start[last])
        start, end = first // _BLOCK + 1, last // _BLOCK
        some = np.flatnonzero(end > start)
        level, second = two_runs(start[some], end[some])
        whole = self._least(runs[level, start[some]], runs[level, second])
        found[some] = self._least(found[some], whole)
        return found


def powers(n: int) -> list[int]:
    """1, 2, 4, ... up to n, at least the 1."""
    return [1 << level for level in range(max(n.bit_length(), 1))]


def two_runs(first: Ints, end: Ints) -> tuple[Ints, Ints]:
    """For stretches that are not empty (level, second): runs of `2**level` that cover them.

    One run starts at `first`, the other at `second` and ends at `end`.
    """
    level: npt.NDArray[np.int64] = np.frexp((end - first).astype(np.float64))[1] - 1
    return level, end - (1 << level)


class Smallest(RecordStatistic):
    """(m) float64, NaN if there is no value, or a float."""

    name, rank, form, dtype, empty = "min", 3, "d", np.dtype("<f8"), (math.nan,)

    def over(self, series: Series) -> Between:
        return RangeExtreme(series.there, np.minimum).between

    def merge(self, found: Floats, past: Array) -> Floats:
        return np.fmin(found, past)

    def scalar(
        self, events: EventList, begin: int, start: int, record: Record | None, item: int
    ) -> float:
        return min(_values(events, begin, record, item), default=math.nan)


class Largest(Smallest):
    """The same of the largest."""

    name, rank = "max", 4

    def over(self, series: Series) -> Between:
        return RangeExtreme(series.there, np.maximum).between

    def merge(self, found: Floats, past: Array) -> Floats:
        return np.fmax(found, past)

    def scalar(
        self, events: EventList, begin: int, start: int, record: Record | None, item: int
    ) -> float:
        return max(_values(events, begin, record, item), default=math.nan)


def _values(
    events: EventList, begin: int, record: Record | None, item: int
) -> list[float]:
    values = events.values[begin:]
    if record is not None and record[item] == record[item]:
        values.append(record[item])
    return values


SMALLEST, LARGEST = Smallest(), Largest()


@register
class Min(Function):
    name, meaning = "min", "the smallest value"
    clock = "nothing"
    needs: tuple[Statistic, ...] = (SMALLEST,)

    # Which of -0.0 and 0.0 was found depends on their order; the sum is 0.0.

    def finish(self, as_of: Ints, extreme: Floats) -> Floats:
        return extreme + 0.0

    def finish_scalar(self, as_of: int, extreme: float) -> float:
        return extreme + 0.0


@register
class Max(Min):
    name, meaning = "max", "the largest value"
    needs = (LARGEST,)
