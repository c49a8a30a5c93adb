"""Many blobs of one layout as arrays: where their rows, records, points and sketches lie.

All parts of a blob are made of words of 8 bytes, so that one array of words holds all blobs,
and finding a part in each of them is arithmetic on places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_assets.features.engine.events import Hashes
from ml_assets.features.engine.exact import Ints
from ml_assets.features.engine.state.layout import HEADER, POINT, SEEN, Kept, Layout

Array = npt.NDArray[Any]

WORD = 8
_HEADER = HEADER.size // WORD
_POINT = POINT.itemsize // WORD
_SEEN = SEEN.itemsize // WORD


class Unpacked:
    """m blobs side by side; each in the order in which they were given.

    words: (all) what they are made of
    folded: the places of those of which something is folded
    """

    def __init__(self, layout: Layout, blobs: Sequence[bytes]) -> None:
        self._layout = layout
        self.words: Ints = np.frombuffer(b"".join(blobs), "<i8")
        self.m = len(blobs)
        end = np.cumsum(np.fromiter(map(len, blobs), np.int64, self.m) // WORD)
        start = np.zeros(self.m, dtype=np.int64)
        start[1:] = end[:-1]
        # The second word of a header: bytes of all that is folded, number of records.
        second = self.words[start + 1]
        folded = (second & 0xFFFFFFFF) // WORD
        self._records = second >> 32
        self._start = start + _HEADER
        self._rows = self._start + folded
        self._end = end
        self.folded = np.flatnonzero(folded)

    def rows(self) -> tuple[Ints, Ints]:
        """(n) where each row starts and (n) whose it is."""
        size = self._layout.row.itemsize // WORD
        return spread(self._rows, (self._end - self._rows) // size, size)

    def records(self, starts: Ints) -> Array | None:
        """(S, m) the record that each window from `starts` (S, m) takes; None: all are empty."""
        if not self._records.any():
            return None
        size = self._layout.record.itemsize // WORD
        places, owner = spread(self._start, self._records, size)
        first = self.words[places]
        found = np.empty((*starts.shape, size), dtype=np.int64)
        found[:] = np.frombuffer(self._layout.nothing, "<i8")
        for start, mine in zip(starts, found, strict=True):
            # A window takes the first record at or after its tail.
            place = np.bincount(owner[first < start[owner]], minlength=self.m)
            there = np.flatnonzero(place < self._records)
            words = self._start[there] + place[there] * size
            mine[there] = self.words[words[:, None] + np.arange(size)]
        return found.view(self._layout.record)[..., 0]

    def points(self, kept: Kept) -> tuple[Array, Ints]:
        """The folded points of a slot that have a value, and whose they are."""
        first = self._after_records() + kept.first_point * _POINT
        places, owner = spread(first, np.full(len(first), kept.points), _POINT)
        points = self.words[places[:, None] + np.arange(_POINT)].view(POINT)[:, 0]
        there = ~np.isnan(points["value"])
        return points[there], self.folded[owner[there]]

    def sketches(self, kept: Kept) -> tuple[Hashes, Ints, Ints]:
        """The folded pairs of a slot: hashes, the tiles where they came last, whose they are."""
        sizes = self._after_records() + self._layout.points * _POINT
        number, count = self._layout.sketched.index(kept), len(self._layout.sketched)
        lengths = self.words[sizes[:, None] + np.arange(count)]
        first = sizes + count + lengths[:, :number].sum(axis=1) * _SEEN
        places, owner = spread(first, lengths[:, number], _SEEN)
        return self.words[places].view(np.uint64), self.words[places + 1], self.folded[owner]

    def _after_records(self) -> Ints:
        """Of the `folded` ones: what lies behind their records."""
        size = self._layout.record.itemsize // WORD
        return self._start[self.folded] + self._records[self.folded] * size


def spread(first: Ints, count: Ints, step: int) -> tuple[Ints, Ints]:
    """`first`, `first + step`, ... `count` times each: all these places, and whose they are."""
    owner = np.repeat(np.arange(len(first)), count)
    before = np.cumsum(count) - count
    return (first - step * before)[owner] + step * np.arange(len(owner)), owner
