"""Sums and smallest values of stretches `[first, end)` of a column, many at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ml_assets.features.engine.exact import Floats, Ints, Limbs

_STEP = 1 << 16
"""Values that are split at a time: what is in between then stays in the cache."""

_BLOCK = 32


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


class Smallest:
    """The smallest value of stretches.

    The column is cut into blocks. A stretch is the end of one, some whole ones and the start
    of another; any number of whole ones is covered by two runs whose length is a power of two.
    Source: M. A. Bender and M. Farach-Colton, "The LCA problem revisited", 2000.
    """

    def __init__(self, values: Floats) -> None:
        self._values = values
        blocks = -(-len(values) // _BLOCK)
        padded = np.full((blocks, _BLOCK), np.inf)
        padded.ravel()[: len(values)] = values
        self._from_start = np.minimum.accumulate(padded, axis=1).ravel()
        runs = [self._from_start[_BLOCK - 1 :: _BLOCK]]
        np.minimum.accumulate(padded[:, ::-1], axis=1, out=padded[:, ::-1])
        self._to_end = padded.ravel()
        for width in powers(blocks)[1:]:
            run = runs[-1].copy()
            half = width // 2
            np.minimum(run[:-half], run[half:], out=run[:-half])
            runs.append(run)
        self._runs = np.stack(runs)

    def between(self, first: Ints, end: Ints) -> Floats:
        """NaN where a stretch is empty."""
        found = np.full(len(first), np.nan)
        last = end - 1
        near = first // _BLOCK == last // _BLOCK
        some = np.flatnonzero(near & (last >= first))
        found[some] = self._within(first[some], end[some])
        some = np.flatnonzero(~near & (last >= first))
        found[some] = self._across(first[some], last[some])
        return found

    def _within(self, first: Ints, end: Ints) -> Floats:
        """Of stretches that lie in one block."""
        found: Floats = self._values[first]
        for step in range(1, int((end - first).max(initial=0))):
            found = np.minimum(found, self._values[np.minimum(first + step, end - 1)])
        return found

    def _across(self, first: Ints, last: Ints) -> Floats:
        found: Floats = np.minimum(self._to_end[first], self._from_start[last])
        start, end = first // _BLOCK + 1, last // _BLOCK
        some = np.flatnonzero(end > start)
        level, second = two_runs(start[some], end[some])
        whole = np.minimum(self._runs[level, start[some]], self._runs[level, second])
        found[some] = np.minimum(found[some], whole)
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
