"""The smallest distinct hashes of stretches `[first, end)` of a column, many at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ml_assets.features.engine.events import Hashes
from ml_assets.features.engine.exact import Ints
from ml_assets.features.engine.finish import SKETCH
from ml_assets.features.engine.ranges import two_runs

_CELLS = 1 << 19
"""Hashes that are sorted at a time, as rows of a matrix."""

_TABLE_BYTES = 1 << 29


class Distinct:
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
        """(kept, largest), each (m); zeros where a stretch is empty."""
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
