"""One column of many events in the order of entity and time: there a window is a stretch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ml_assets.features.engine.exact import Ints

Array = npt.NDArray[Any]
Hashes = npt.NDArray[np.uint64]

Form = Literal["rows", "number", "hash"]
"""What is read of an event: that it happened, a number, or a hash of a value."""

Stretch: TypeAlias = tuple[Ints, Ints]
"""(m) first places and (m) ends: half-open stretches."""


@dataclass(frozen=True)
class Series:
    """n events by entity and time, without those whose value is missing.

    row:    (k) where the others lie in `at` and `uid`
    values: (k) theirs; None if there is no column, or only being there matters
    before: (n + 1) how many of them there are before each event; None if all k = n are
    at:     instants, microseconds since 1970 UTC
    uid:    `events.uid` of their ids; None if nothing is to be merged with them
    weight: (k) for how many events each of the others stands; None: for itself
    """

    row: Ints
    values: Array | None
    before: Ints | None
    at: Ints
    uid: Hashes | None
    weight: Ints | None = None

    @staticmethod
    def of(form: Form, values: Array | None, row: Ints, at: Ints, uid: Hashes | None) -> Series:
        """values: (n) one for each `row`, zero or not finite if missing; None: without column"""
        if values is None:
            return Series(row, None, None, at, uid)
        there = values != 0 if form == "hash" else np.isfinite(values)
        if there.all():
            return Series(row, None if form == "rows" else values, None, at, uid)
        before = np.zeros(len(row) + 1, dtype=np.int64)
        np.cumsum(there, out=before[1:])
        return Series(row[there], None if form == "rows" else values[there], before, at, uid)

    def stretch(self, first: Ints, end: Ints) -> Stretch:
        """A stretch of the n events as one of the k values."""
        if self.before is None:
            return first, end
        return self.before[first], self.before[end]

    @property
    def there(self) -> Array:
        """`values` of a slot that has some."""
        assert self.values is not None
        return self.values

    def values_at(self, places: Ints) -> Array:
        return np.ones(len(places)) if self.values is None else self.values[places]
