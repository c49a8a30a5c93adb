"""Many blobs of one layout as arrays: where their rows, records, points and sketches lie.

All parts of a blob are made of words of 8 bytes, so that one array of words holds all blobs,
and finding a part in each of them is arithmetic on places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ml_assets.features.engine.exact import Ints
from ml_assets.features.engine.functions.base import POINT
from ml_assets.features.engine.series import Array, Hashes
from ml_assets.features.engine.state.layout import HEADER, Kept, Layout

WORD = 8
_HEADER = HEADER.size // WORD
_POINT = POINT.itemsize // WORD


class Folded(NamedTuple):
    """row: where their instants lie among the words; owner: whose they are

    has_uid: whether their uids lie behind these
    weight: for how many events each stands; None: for one
    """

    row: Ints
    values: Array
    owner: Ints
    has_uid: bool
    weight: Ints | None = None


class Unpacked:
    """m blobs side by side; each in the order in which they were given.

    words: (all) what they are made of; uids: what lies behind an instant
    folded: the places of those of which something is folded
    """

    def __init__(self, layout: Layout, blobs: Sequence[bytes]) -> None:
        self._layout = layout
        self.words: Ints = np.frombuffer(b"".join(blobs), "<i8")
        self.uids: Hashes = self.words[1:].view(np.uint64)
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

    def points(self, kept: Kept) -> Folded:
        """The folded points of a slot."""
        assert kept.points is not None
        first = self._after_records() + kept.first_point * _POINT
        places, owner = spread(first, np.full(len(first), kept.points.points), _POINT)
        values = self.words[places + 2].view(np.float64)
        there = ~np.isnan(values)
        return Folded(places[there], values[there], self.folded[owner[there]], True)

    def sketches(self, kept: Kept) -> Folded:
        """The folded items of a slot: values, and the tiles where they came as instants."""
        sizes = self._after_records() + self._layout.points * _POINT
        number, count = self._layout.sketched.index(kept), len(self._layout.sketched)
        lengths = self.words[sizes[:, None] + np.arange(count)]
        items = [each.sketch.item for each in self._layout.sketched if each.sketch]
        words = np.array([each.itemsize // WORD for each in items])
        first = sizes + count + lengths[:, :number] @ words[:number]
        places, owner = spread(first, lengths[:, number], int(words[number]))
        values = self.words[places].view(items[number][0])
        weight = self.words[places + 2] if words[number] > 2 else None
        return Folded(places + 1, values, self.folded[owner], False, weight)

    def _after_records(self) -> Ints:
        """Of the `folded` ones: what lies behind their records."""
        size = self._layout.record.itemsize // WORD
        return self._start[self.folded] + self._records[self.folded] * size


def spread(first: Ints, count: Ints, step: int) -> tuple[Ints, Ints]:
    """`first`, `first + step`, ... `count` times each: all these places, and whose they are."""
    owner = np.repeat(np.arange(len(first)), count)
    before = np.cumsum(count) - count
    return (first - step * before)[owner] + step * np.arange(len(owner)), owner
