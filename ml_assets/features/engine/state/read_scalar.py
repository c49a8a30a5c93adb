"""Reading one entity with few rows: plain Python, which beats array calls there.

Gives the bits that `read_vectorised.py` gives.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from struct import unpack_from
from typing import Any

import numpy as np

from ml_assets.features.engine.functions.base import POINT, Point, Record, Statistic
from ml_assets.features.engine.series import Array
from ml_assets.features.engine.state.layout import HEADER, Kept, Layout, header_of

Row = tuple[Any, ...]
"""An event as `Layout.row_struct` gives it: at, uid, values."""


def read_scalar(
    layout: Layout, blob: bytes, as_of: int, upper: int, starts: Sequence[int]
) -> list[float]:
    """The features of one entity: events in `[start, upper)` count.

    starts: for each of the view's spans where its window that ends at `as_of` starts
    """
    _, folded, count, _, _ = HEADER.unpack_from(blob)
    rows = sorted(layout.row_struct.iter_unpack(blob[HEADER.size + folded :]))
    if rows and rows[-1][0] >= upper:
        del rows[bisect_left(rows, (upper,)) :]
    instants = [row[0] for row in rows]
    past = count if folded else None
    slots = [_Events(layout, kept, blob, past, rows, instants) for kept in layout.kept]
    records = _records(layout, blob, count, starts) if count else [None] * len(starts)
    plan, windows = layout.scalar_plan, []
    for span, slot in plan.windows:
        events, start = slots[slot], starts[span]
        windows.append((events, bisect_left(events.instants, start), start, records[span]))
    found = [scalar(*windows[window], item) for scalar, window, item in plan.statistics]
    values: list[float] = []
    for finish, need, needs, is_list in plan.features:
        value = finish(as_of, found[need]) if needs is None else finish(as_of, *needs(found))
        if is_list:
            values += value
        else:
            values.append(value)
    return values


def _records(
    layout: Layout, blob: bytes, count: int, starts: Sequence[int]
) -> list[Record | None]:
    """For each window the record at or after its start; None where nothing is folded of it."""
    size, found = layout.record.itemsize, list[Record | None]()
    first = memoryview(blob)[HEADER.size : HEADER.size + count * size].cast("q")[:: size // 8]
    for start in starts:
        place = bisect_left(first, start)
        found.append(None if place == count else (
            layout.record_struct.unpack_from(blob, HEADER.size + place * size)
        ))
    return found


class _Events:
    """The events that have a value of one slot, see `EventList`.

    instants: when the raw ones were; values: theirs, nothing for a slot without a column
    past: the number of records in `blob`; None if nothing is folded
    """

    __slots__ = ("blob", "instants", "kept", "layout", "past", "prepared", "rows", "values")

    def __init__(
        self, layout: Layout, kept: Kept, blob: bytes, past: int | None, rows: list[Row],
        instants: list[int],
    ) -> None:
        self.layout, self.kept, self.blob, self.past = layout, kept, blob, past
        self.prepared: dict[Statistic, list[int]] = {}
        place = kept.item
        if place >= 0:
            values = [row[place] for row in rows]
            if kept.slot.form == "hash":
                missing = 0 in values
            else:
                # One NaN makes the sum one.
                total = sum(values)
                missing = total != total
            if missing:
                rows = [row for row in rows if row[place] == row[place] and (
                    row[place] or kept.slot.form != "hash"
                )]
                instants, values = [row[0] for row in rows], [row[place] for row in rows]
            self.values: list[Any] = values
        self.rows, self.instants = rows, instants

    def point(self, place: int) -> Point:
        row = self.rows[place]
        # Without a column all are alike but for the instant.
        return row[0], row[1], row[self.kept.item] if self.kept.item >= 0 else 1.0

    def past_points(self, start: int, most: int) -> list[Point]:
        """Of the latest that are folded those in a window from `start` on, newest first."""
        if self.past is None:
            return []
        offset = HEADER.size + self.past * self.layout.record.itemsize
        offset += self.kept.first_point * POINT.itemsize
        points: Iterator[Point] = (
            unpack_from("<qQd", self.blob, offset + place * POINT.itemsize)
            for place in range(most)
        )
        return [point for point in points if point[0] >= start]

    def past_items(self, start: int) -> Array:
        """Those that are folded of a window from `start` on."""
        assert self.kept.sketch is not None
        if self.past is None:
            return np.empty(0, self.kept.sketch.item)
        sketches = self.layout.sketches_of(self.blob, header_of(self.blob))
        items = sketches[self.layout.sketched.index(self.kept)]
        found: Array = items[items["tile"] >= start]
        return found
