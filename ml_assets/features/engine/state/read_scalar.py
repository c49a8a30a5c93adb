"""Reading one entity with few rows: plain Python, which beats array calls there.

Gives the bits that `read_vectorised.py` and `finish.py` give: the same sums of integers, and float
operations in the same order.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from struct import unpack_from
from typing import Any

from ml_assets.features.engine.finish import SKETCH
from ml_assets.features.engine.functions import Function
from ml_assets.features.engine.state.layout import HEADER, POINT, Kept, Layout, header_of
from ml_assets.features.engine.totals import ONE, of_limbs, square_of, to_float, variance

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
    slots = [_Events(layout, kept, blob, rows, instants) for kept in layout.kept]
    records = _records(layout, blob, count, starts) if count else [None] * len(starts)
    windows = []
    for span, slot in layout.cells:
        events, start = slots[slot], starts[span]
        windows.append((events, bisect_left(events.instants, start), records[span], start))
    values: list[float] = []
    for function, cell, _, _ in layout.features:
        events, begin, record, start = windows[cell]
        value = _VALUE[function.name](events, begin, record, start, as_of, function)
        if isinstance(value, list):
            values += value
        else:
            values.append(value)
    return values


def _records(
    layout: Layout, blob: bytes, count: int, starts: Sequence[int]
) -> list[Row | None]:
    """For each window the record at or after its start; None where nothing is folded of it."""
    size, found = layout.record.itemsize, list[Row | None]()
    first = memoryview(blob)[HEADER.size : HEADER.size + count * size].cast("q")[:: size // 8]
    for start in starts:
        place = bisect_left(first, start)
        found.append(None if place == count else (
            layout.record_struct.unpack_from(blob, HEADER.size + place * size)
        ))
    return found


class _Events:
    """The raw events that have one slot, by (at, uid).

    instants: when they were; values: theirs, nothing for a slot without a column
    """

    __slots__ = ("_ints", "_squares", "blob", "instants", "kept", "layout", "rows", "values")

    def __init__(
        self, layout: Layout, kept: Kept, blob: bytes, rows: list[Row], instants: list[int]
    ) -> None:
        self.layout, self.kept, self.blob = layout, kept, blob
        self._ints: list[int] | None = None
        self._squares: list[int] | None = None
        place = kept.place
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
            self.values = values
        self.rows, self.instants = rows, instants

    def sum(self, begin: int) -> int:
        """Of the values in units of 2**-64, cut off towards zero as `exact.split` does."""
        if self._ints is None:
            self._ints = [int(value * ONE) for value in self.values]
        return sum(self._ints[begin:] if begin else self._ints)

    def squares(self, begin: int) -> int:
        """Of their squares, as `exact.split_squares` has them."""
        if self._squares is None:
            self._squares = [square_of(value) for value in self.values]
        return sum(self._squares[begin:])

    def point(self, place: int) -> Row:
        """(at, uid, value) of one. Without a column all are alike but for the instant."""
        row = self.rows[place]
        return row[0], row[1], row[self.kept.place] if self.kept.place >= 0 else 1.0

    def past(self, start: int, most: int) -> list[Row]:
        """Folded points of a window that starts at `start`, newest first."""
        header = header_of(self.blob)
        if not header.folded:
            return []
        offset = HEADER.size + header.records * self.layout.record.itemsize
        offset += self.kept.first_point * POINT.itemsize
        points: list[Row] = [
            unpack_from("<qQd", self.blob, offset + place * POINT.itemsize)
            for place in range(most)
        ]
        return [point for point in points if point[0] >= start]


def _n(events: _Events, begin: int, record: Row | None) -> int:
    found = len(events.instants) - begin
    return found if record is None else found + int(record[events.kept.record["n"]])


def _total(events: _Events, begin: int, record: Row | None) -> int:
    found = events.sum(begin)
    return found if record is None else found + of_limbs(record, events.kept.record["sum"])


def _count(events: _Events, begin: int, record: Row | None, *_: object) -> float:
    return float(_n(events, begin, record))


def _sum(events: _Events, begin: int, record: Row | None, *_: object) -> float:
    return to_float(_total(events, begin, record))


def _mean(events: _Events, begin: int, record: Row | None, *_: object) -> float:
    n = _n(events, begin, record)
    return to_float(_total(events, begin, record)) / n if n else math.nan


def _smoothed(
    events: _Events, begin: int, record: Row | None, start: int, as_of: int, function: Function
) -> float:
    prior, weight = function.arguments
    total = to_float(_total(events, begin, record))
    return (total + prior * weight) / (_n(events, begin, record) + weight)


def _variance(events: _Events, begin: int, record: Row | None, *_: object) -> float:
    squares = events.squares(begin)
    if record is not None:
        squares += of_limbs(record, events.kept.record["squares"])
    return variance(_n(events, begin, record), _total(events, begin, record), squares)


def _std(events: _Events, begin: int, record: Row | None, *_: object) -> float:
    return math.sqrt(_variance(events, begin, record))


def _extreme(
    least: Callable[..., float], name: str
) -> Callable[[_Events, int, Row | None, int, int, Function], float]:
    def extreme(events: _Events, begin: int, record: Row | None, *_: object) -> float:
        values = events.values[begin:]
        before = math.nan if record is None else record[events.kept.record[name]]
        if before == before:
            values.append(before)
        # Never -0.0, as in `finish`.
        return least(values, default=math.nan) + 0.0

    return extreme


def _first_point(events: _Events, begin: int, record: Row | None) -> Row | None:
    """(at, uid, value) of the earliest."""
    points = [events.point(begin)] if begin < len(events.instants) else []
    if record is not None:
        place = events.kept.record["first"]
        if record[place + 2] == record[place + 2]:
            points.append(record[place : place + 3])
    return min(points, default=None)


def _last_point(events: _Events, begin: int, start: int) -> Row | None:
    points = [events.point(-1)] if begin < len(events.instants) else []
    return max(points + events.past(start, 1), default=None)


def _first(events: _Events, begin: int, record: Row | None, *_: object) -> float:
    point = _first_point(events, begin, record)
    return math.nan if point is None else float(point[2])


def _last(events: _Events, begin: int, record: Row | None, start: int, *_: object) -> float:
    point = _last_point(events, begin, start)
    return math.nan if point is None else float(point[2])


def _since_first(
    events: _Events, begin: int, record: Row | None, start: int, as_of: int, *_: object
) -> float:
    point = _first_point(events, begin, record)
    return math.nan if point is None else (as_of - point[0]) / 1e6


def _since_last(
    events: _Events, begin: int, record: Row | None, start: int, as_of: int, *_: object
) -> float:
    point = _last_point(events, begin, start)
    return math.nan if point is None else (as_of - point[0]) / 1e6


def _latest(
    events: _Events, begin: int, record: Row | None, start: int, as_of: int, function: Function
) -> list[float]:
    most, size = function.width, len(events.instants)
    points = [events.point(place) for place in range(max(begin, size - most), size)]
    points += events.past(start, most)
    values = [value for _, _, value in sorted(points, reverse=True)[:most]]
    return values + [math.nan] * (most - len(values))


def _distinct(
    events: _Events, begin: int, record: Row | None, start: int, *_: object
) -> float:
    """From the `SKETCH` smallest distinct hashes."""
    layout, blob = events.layout, events.blob
    hashes = set(events.values[begin:])
    header = header_of(blob)
    if header.folded:
        sketch = layout.sketches_of(blob, header)[layout.sketched.index(events.kept)]
        hashes.update(sketch["hash"][sketch["tile"] >= start].tolist())
    if len(hashes) < SKETCH:
        return float(len(hashes))
    largest = sorted(hashes)[SKETCH - 1]
    return float(round((SKETCH - 1) * (ONE / max(float(largest), 1.0))))


_VALUE: dict[
    str, Callable[[_Events, int, Row | None, int, int, Function], float | list[float]]
] = {
    "count": _count, "sum": _sum, "mean": _mean, "smoothed_mean": _smoothed,
    "variance": _variance, "std": _std,
    "min": _extreme(min, "min"), "max": _extreme(max, "max"),
    "first": _first, "last": _last, "time_since_first": _since_first,
    "time_since_last": _since_last, "last_n": _latest, "approx_count_distinct": _distinct,
}
"""Of events from `begin` on, a record, the window's start and end, and the function."""
