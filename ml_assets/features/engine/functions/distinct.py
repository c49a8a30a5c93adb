"""How many distinct values there are, from the smallest of their hashes.

Source: Z. Bar-Yossef et al., "Counting distinct elements in a data stream", 2002.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from ml_assets.features.engine.exact import ONE, Floats, Ints
from ml_assets.features.engine.functions.base import (
    PAIR,
    Between,
    EventList,
    Function,
    Record,
    SketchStatistic,
    register,
)
from ml_assets.features.engine.functions.extremes import two_runs
from ml_assets.features.engine.series import Array, Hashes, Series

SKETCH = 256
"""How many of the smallest hashes are kept."""

_CELLS = 1 << 19
"""Hashes that are sorted at a time, as rows of a matrix."""

_TABLE_BYTES = 1 << 29


class RangeDistinct:
    """For stretches how many of the `SKETCH` smallest distinct hashes there are, and the largest.

    Short stretches are sorted whole. The column is cut into blocks whose smallest hashes are
    kept, and those of runs of 2, 4, 8, ... blocks; a long stretch is two runs, which may
    overlap, and what sticks out of them at its ends. So any stretch costs about the same.
    """

    def __init__(self, hashes: Hashes) -> None:
        self._hashes = hashes
        self._block = 2 * SKETCH
        while self._table_bytes() > _TABLE_BYTES:
            self._block *= 2
        self._runs: list[Hashes] = []

    def between(self, first: Ints, end: Ints) -> tuple[Ints, Hashes]:
        """(kept, largest), each (m); zeros if a stretch is empty."""
        kept = np.zeros(len(first), dtype=np.int64)
        largest = np.zeros(len(first), dtype=np.uint64)
        length = end - first
        short = length < 2 * self._block
        # The places of a row beyond its stretch repeat its last hash, which changes nothing.
        width = np.where(length > 0, np.exp2(np.ceil(np.log2(np.maximum(length, 1)))), 0)
        for size in np.unique(width[short & (length > 0)]).astype(int).tolist():
            for some in _pieces(np.flatnonzero(short & (width == size)), size):
                places = np.minimum(first[some, None] + np.arange(size), end[some, None] - 1)
                kept[some], largest[some] = _summary(self._hashes[places])
        for some in _pieces(np.flatnonzero(~short), 2 * self._block + 2 * SKETCH):
            kept[some], largest[some] = _summary(self._long(first[some], end[some]))
        return kept, largest

    def _long(self, first: Ints, end: Ints) -> Hashes:
        """Rows that hold the smallest distinct hashes of stretches of two blocks or more."""
        start, stop = -(-first // self._block), end // self._block
        level, second = two_runs(start, stop)
        self._grow(int(level.max()))
        step = np.arange(self._block)
        rows = np.empty((len(first), 2 * self._block + 2 * SKETCH), dtype=np.uint64)
        for each in np.unique(level).tolist():
            some = level == each
            rows[some, :SKETCH] = self._runs[each][start[some]]
            rows[some, SKETCH : 2 * SKETCH] = self._runs[each][second[some]]
        rows[:, 2 * SKETCH : 2 * SKETCH + self._block] = self._hashes[first[:, None] + step]
        rows[:, 2 * SKETCH + self._block :] = self._hashes[end[:, None] - 1 - step]
        return rows

    def _grow(self, level: int) -> None:
        """Make the runs of up to `2**level` blocks."""
        whole = len(self._hashes) // self._block
        if not self._runs:
            blocks = self._hashes[: whole * self._block].reshape(whole, self._block)
            self._runs.append(_sketches(blocks))
        while len(self._runs) <= level:
            half = 1 << (len(self._runs) - 1)
            shorter = self._runs[-1]
            self._runs.append(_sketches(shorter[:-half], shorter[half:]))

    def _table_bytes(self) -> int:
        blocks = len(self._hashes) // self._block
        return blocks * blocks.bit_length() * SKETCH * 8


def _sketches(*parts: Hashes) -> Hashes:
    """(rows, SKETCH): of each row its smallest distinct hashes, then the last again and again.

    parts: (rows, some) each, together at least `SKETCH` wide
    """
    found = np.empty((len(parts[0]), SKETCH), dtype=np.uint64)
    for some in _pieces(np.arange(len(found)), sum(part.shape[1] for part in parts)):
        rows = np.concatenate([part[some] for part in parts], axis=1)
        rows.sort(axis=1)
        again = rows[:, 1:] == rows[:, :-1]
        np.copyto(rows[:, 1:], rows[:, -1:], where=again)
        rows.sort(axis=1)
        found[some] = rows[:, :SKETCH]
    return found


def _summary(rows: Hashes) -> tuple[Ints, Hashes]:
    """How many of the smallest distinct hashes each row has, and the largest of them."""
    rows.sort(axis=1)
    new = rows[:, 1:] != rows[:, :-1]
    if rows.shape[1] <= SKETCH:
        return 1 + np.count_nonzero(new, axis=1), rows[:, -1]
    so_far: npt.NDArray[np.int32] = np.cumsum(new, axis=1, dtype=np.int32)
    fewer = np.count_nonzero(so_far < SKETCH - 1, axis=1)
    last = np.minimum(fewer + 1, rows.shape[1] - 1)
    return np.minimum(1 + so_far[:, -1], SKETCH), rows[np.arange(len(rows)), last]


def _pieces(places: Ints, width: int) -> Iterator[npt.NDArray[np.int64]]:
    """`places` so many at a time that rows of `width` hashes are few enough."""
    size = max(_CELLS // width, 1)
    for start in range(0, len(places), size):
        yield places[start : start + size]


class SmallestHashes(SketchStatistic):
    """Of the `SKETCH` smallest distinct hashes how many there are, and the largest: (m) each.

    In the scalar form all distinct hashes.
    """

    def over(self, series: Series) -> Between:
        return RangeDistinct(series.there).between

    def scalar(
        self, events: EventList, begin: int, start: int, record: Record | None, item: int
    ) -> set[int]:
        hashes = set(events.values[begin:])
        hashes.update(events.past_items(start)["hash"].tolist())
        return hashes

    def fold(
        self, past: Array, series: Series, reach: int, tile_of: Callable[[Ints], Ints]
    ) -> Array:
        """Each hash once, with its latest tile.

        A window sees the hashes whose latest tile is at or after its tail, and takes the
        smallest `SKETCH` of them. So a pair is needless once `SKETCH` smaller hashes came as late.
        """
        hashes = np.concatenate((past["hash"], series.there))
        tiles = np.concatenate((past["tile"], tile_of(series.at[series.row])))
        order = np.lexsort((-tiles, hashes))
        hashes, tiles = hashes[order], tiles[order]
        needed = tiles >= reach
        needed[1:] &= hashes[1:] != hashes[:-1]
        hashes, tiles = hashes[needed], tiles[needed]
        if len(hashes) > 4 * SKETCH:
            needed = _undominated(tiles)
            hashes, tiles = hashes[needed], tiles[needed]
        pairs = np.empty(len(hashes), PAIR)
        pairs["hash"], pairs["tile"] = hashes, tiles
        return pairs


def _undominated(tiles: Ints) -> npt.NDArray[np.bool_]:
    """Which of the pairs, in ascending order of hash, are among the smallest of some window."""
    needed = np.zeros(len(tiles), dtype=bool)
    latest: list[int] = []  # of those so far
    for place, tile in enumerate(tiles.tolist()):
        if len(latest) < SKETCH:
            heapq.heappush(latest, tile)
        elif tile > latest[0]:
            heapq.heapreplace(latest, tile)
        else:
            continue
        needed[place] = True
    return needed


HASHES = SmallestHashes()


@register
class DistinctCount(Function):
    name = "approx_count_distinct"
    meaning = "distinct values; exact up to 255, then within about 6%"
    reads = "hash"
    needs = (HASHES,)
    clock = "nothing"
    whole = True
    empty = 0.0

    def finish(self, as_of: Ints, found: tuple[Ints, Hashes]) -> Floats:
        kept, largest = found
        estimate = np.round((SKETCH - 1) * (ONE / np.maximum(largest.astype(np.float64), 1)))
        return np.where(kept < SKETCH, kept.astype(np.float64), estimate)

    def finish_scalar(self, as_of: int, hashes: set[int]) -> float:
        if len(hashes) < SKETCH:
            return float(len(hashes))
        largest = sorted(hashes)[SKETCH - 1]
        return float(round((SKETCH - 1) * (ONE / max(float(largest), 1.0))))
