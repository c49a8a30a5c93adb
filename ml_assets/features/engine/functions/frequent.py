"""The most frequent value.

The counts of all values are kept, by tile, so that nothing is estimated: a slide with a thousand
different values has a thousand counts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from heapq import heapify, heappop, heappush

import numpy as np

from ml_assets.features.engine.exact import Floats, Ints
from ml_assets.features.engine.functions.base import (
    Between,
    EventList,
    Function,
    Record,
    SketchStatistic,
    register,
)
from ml_assets.features.engine.series import Array, Series

TALLY = np.dtype([("value", "<f8"), ("tile", "<i8"), ("count", "<i8")])
"""How often a value came in the stretch that starts at `tile`."""

_STALE = 4
"""The heap is made anew if it has so many times as many entries as there are values."""


class Commonest:
    """The counts of one stretch, which is moved from window to window.

    A heap has an entry for each count that a value has had; those that no longer hold are dropped
    when they come up. So moving by k events takes k steps, whatever the stretch holds.
    """

    def __init__(self, values: Floats, weight: Ints | None) -> None:
        # The sum of -0.0 and 0.0 is 0.0: they are one value.
        self._values: list[float] = (values + 0.0).tolist()
        self._weight = [1] * len(values) if weight is None else weight.tolist()
        self._reset(0)

    def _reset(self, place: int) -> None:
        self._first = self._end = place
        self._counts: dict[float, int] = {}
        self._heap: list[tuple[int, float]] = []

    def between(self, first: Ints, end: Ints) -> Floats:
        """(m) the most frequent value of each stretch; NaN if it is empty."""
        found = np.full(len(first), np.nan)
        self._reset(0)
        order = np.lexsort((end, first))
        for place, start, stop in zip(
            order.tolist(), first[order].tolist(), end[order].tolist(), strict=True
        ):
            if start < stop:
                found[place] = self._move(start, stop)
        return found

    def _move(self, first: int, end: int) -> float:
        """To a stretch that is not empty and starts no earlier; its most frequent value."""
        if first >= self._end:
            self._reset(first)
        changed = {
            *self._count(self._end, end, 1), *self._count(end, self._end, -1),
            *self._count(self._first, first, -1),
        }
        self._first, self._end = first, end
        counts, heap = self._counts, self._heap
        for value in changed:
            if counts[value]:
                heappush(heap, (-counts[value], value))
            else:
                del counts[value]
        if len(heap) > _STALE * (len(counts) + 16):
            heap[:] = [(-count, value) for value, count in counts.items()]
            heapify(heap)
        while counts.get(heap[0][1]) != -heap[0][0]:
            heappop(heap)
        return heap[0][1]

    def _count(self, first: int, end: int, sign: int) -> list[float]:
        values, counts = self._values[first:end], self._counts
        for value, weight in zip(values, self._weight[first:end], strict=True):
            counts[value] = counts.get(value, 0) + sign * weight
        return values


class Tallies(SketchStatistic):
    """(m) the most frequent values, NaN if there is none; in the scalar form all counts."""

    item = TALLY

    def over(self, series: Series) -> Between:
        return Commonest(series.there, series.weight).between

    def scalar(
        self, events: EventList, begin: int, start: int, record: Record | None, item: int
    ) -> dict[float, int]:
        # -0.0 and 0.0 are one key.
        counts = Counter(events.values[begin:])
        for value, _, count in events.past_items(start).tolist():
            counts[value] += count
        return counts

    def fold(
        self, past: Array, series: Series, reach: int, tile_of: Callable[[Ints], Ints]
    ) -> Array:
        """Each value of a tile once, with its count."""
        values = np.concatenate((past["value"], series.there + 0.0))
        tiles = tile_of(np.concatenate((past["tile"], series.at[series.row])))
        counts = np.concatenate((past["count"], np.ones(len(series.row), np.int64)))
        order = np.lexsort((values, tiles))
        order = order[tiles[order] >= reach]
        values, tiles, counts = values[order], tiles[order], counts[order]
        first = np.ones(len(order), dtype=bool)
        first[1:] = (values[1:] != values[:-1]) | (tiles[1:] != tiles[:-1])
        starts = np.flatnonzero(first)
        tallies = np.empty(len(starts), TALLY)
        tallies["value"], tallies["tile"] = values[starts], tiles[starts]
        tallies["count"] = np.add.reduceat(counts, starts) if len(starts) else 0
        return tallies


TALLIES = Tallies()


@register
class MostFrequent(Function):
    name, aliases = "most_frequent", ("mode",)
    meaning = "the most frequent value; of equally frequent ones the smallest"
    needs = (TALLIES,)
    clock = "nothing"
    takes_codes = True

    def finish(self, as_of: Ints, found: Floats) -> Floats:
        return found

    def finish_scalar(self, as_of: int, counts: dict[float, int]) -> float:
        if not counts:
            return math.nan
        most = max(counts.values())
        return min(value for value, count in counts.items() if count == most) + 0.0
