"""Reading one entity with few rows: plain Python, which beats array calls there.

Gives the bits that `many.py` and `finish.py` give: the same sums of integers, and float
operations in the same order.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from struct import unpack_from
from typing import Any

from ml_assets.features.engine.finish import SKETCH
from ml_assets.features.engine.functions import Function
from ml_assets.features.engine.layout import HEADER, POINT, Kept, Layout, header_of
from ml_assets.features.engine.totals import ONE, of_limbs, square_of, to_float, variance
from ml_assets.features.engine.windows import tail

Row = tuple[Any, ...]
"""An event as `Layout.row_struct` gives it: at, uid, values."""


def read_few(layout: Layout, blob: bytes, as_of: int, upper: int) -> list[float]:
    """The features of one entity: events in `[tail(as_of, span), upper)` count."""
    header = header_of(blob)
    raw = memoryview(blob)[HEADER.size + header.folded :]
    rows: list[Row] = []
    if layout.view.slots:
        rows = sorted(layout.row_struct.iter_unpack(raw))
        instants = [row[0] for row in rows]
    else:
        instants = sorted(raw.cast("q")[:: layout.row_struct.size // 8])
    end = bisect_left(instants, upper)
    if end < len(instants):
        instants, rows = instants[:end], rows[:end]
    size, starts = layout.record.itemsize, memoryview(b"")
    if header.records:
        records = memoryview(blob)[HEADER.size : HEADER.size + header.records * size]
        starts = records.cast("q")[:: size // 8]
    slots = [_Events(layout, kept, blob, rows, instants) for kept in layout.kept]
    found: list[dict[str, Any]] = []
    span, start, record = (0, 0), 0, layout.empty
    for cell_span, kept in layout.cells:
        if cell_span is not span:
            span, start = cell_span, tail(as_of, cell_span)
            if header.records:
                place = bisect_left(starts, start)
                record = layout.empty if place == header.records else (
                    layout.record_struct.unpack_from(blob, HEADER.size + place * size)
                )
        events = slots[kept.number]
        begin = bisect_left(events.instants, start)
        found.append({need: _GATHER[need](events, begin, record, start) for need in kept.needs})
    values: list[float] = []
    for feature in layout.features:
        function = feature.aggregate.function
        value = _FINISH[function.name](found[feature.cell], function, as_of)
        if isinstance(value, list):
            values += value
        else:
            values.append(value)
    return values


class _Events:
    """The raw events that have one slot, by (at, uid); each value is worked on once.

    instants: when they were; rows: themselves, none for a slot without a column
    """

    def __init__(
        self, layout: Layout, kept: Kept, blob: bytes, rows: list[Row], instants: list[int]
    ) -> None:
        self.layout, self.kept, self.blob = layout, kept, blob
        self.rows, self.instants = rows, instants
        self._sums: list[int] | None = None
        self._squares: list[int] | None = None
        place = kept.place
        if place < 0:
            return
        if kept.slot.form == "hash":
            self.rows = [row for row in rows if row[place]]
        else:
            self.rows = [row for row in rows if row[place] == row[place]]
        if len(self.rows) < len(rows):
            self.instants = [row[0] for row in self.rows]

    def sums(self) -> list[int]:
        """The values in units of 2**-64, cut off towards zero as `exact.split` does."""
        if self._sums is None:
            place = self.kept.place
            self._sums = [int(row[place] * ONE) for row in self.rows]
        return self._sums

    def squares(self) -> list[int]:
        """Their squares, as `exact.split_squares` has them."""
        if self._squares is None:
            place = self.kept.place
            self._squares = [square_of(row[place]) for row in self.rows]
        return self._squares

    def point(self, place: int) -> Row:
        """(at, uid, value) of one. Without a column all are alike but for the instant."""
        if self.kept.place < 0:
            return self.instants[place], 0, 1.0
        row = self.rows[place]
        return row[0], row[1], row[self.kept.place]

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


def _count(events: _Events, begin: int, record: Row, start: int) -> int:
    return len(events.instants) - begin + int(record[events.kept.record["n"]])


def _sum(events: _Events, begin: int, record: Row, start: int) -> int:
    return sum(events.sums()[begin:]) + of_limbs(record, events.kept.record["sum"])


def _squares(events: _Events, begin: int, record: Row, start: int) -> int:
    return sum(events.squares()[begin:]) + of_limbs(record, events.kept.record["squares"])


def _min(events: _Events, begin: int, record: Row, start: int) -> float:
    place, before = events.kept.place, record[events.kept.record["min"]]
    values = [row[place] for row in events.rows[begin:]]
    if before == before:
        values.append(before)
    return min(values, default=math.nan)


def _max(events: _Events, begin: int, record: Row, start: int) -> float:
    place, before = events.kept.place, record[events.kept.record["max"]]
    values = [row[place] for row in events.rows[begin:]]
    if before == before:
        values.append(before)
    return max(values, default=math.nan)


def _first(events: _Events, begin: int, record: Row, start: int) -> Row | None:
    """(at, uid, value) of the earliest."""
    place = events.kept.record["first"]
    points = [events.point(begin)] if begin < len(events.instants) else []
    if record[place + 2] == record[place + 2]:
        points.append(record[place : place + 3])
    return min(points, default=None)


def _last(events: _Events, begin: int, record: Row, start: int) -> Row | None:
    points = [events.point(-1)] if begin < len(events.instants) else []
    return max(points + events.past(start, 1), default=None)


def _latest(events: _Events, begin: int, record: Row, start: int) -> list[float]:
    most, size = events.kept.points, len(events.instants)
    points = [events.point(place) for place in range(max(begin, size - most), size)]
    points += events.past(start, most)
    values = [value for _, _, value in sorted(points, reverse=True)[:most]]
    return values + [math.nan] * (most - len(values))


def _hashes(events: _Events, begin: int, record: Row, start: int) -> list[int]:
    """The `SKETCH` smallest distinct hashes, ascending."""
    layout, kept, blob = events.layout, events.kept, events.blob
    hashes = {row[kept.place] for row in events.rows[begin:]}
    header = header_of(blob)
    if header.folded:
        sketch = layout.sketches_of(blob, header)[layout.sketched.index(kept)]
        hashes.update(sketch["hash"][sketch["tile"] >= start].tolist())
    return sorted(hashes)[:SKETCH]


def _mean(found: dict[str, Any]) -> float:
    n: int = found["n"]
    return to_float(found["sum"]) / n if n else math.nan


def _smoothed(found: dict[str, Any], function: Function) -> float:
    prior, weight = function.arguments
    n: int = found["n"]
    return (to_float(found["sum"]) + prior * weight) / (n + weight)


def _since(point: Row | None, as_of: int) -> float:
    return math.nan if point is None else (as_of - point[0]) / 1e6


def _distinct(hashes: list[int]) -> float:
    if len(hashes) < SKETCH:
        return float(len(hashes))
    return float(round((SKETCH - 1) * (ONE / max(float(hashes[-1]), 1.0))))


_GATHER: dict[str, Callable[[_Events, int, Row, int], Any]] = {
    "n": _count, "sum": _sum, "squares": _squares, "min": _min, "max": _max, "first": _first,
    "last": _last, "latest": _latest, "distinct": _hashes,
}

_FINISH: dict[str, Callable[[dict[str, Any], Function, int], float | list[float]]] = {
    "count": lambda found, function, as_of: float(found["n"]),
    "sum": lambda found, function, as_of: to_float(found["sum"]),
    "mean": lambda found, function, as_of: _mean(found),
    "smoothed_mean": lambda found, function, as_of: _smoothed(found, function),
    "variance": lambda found, function, as_of: variance(
        found["n"], found["sum"], found["squares"]
    ),
    "std": lambda found, function, as_of: math.sqrt(
        variance(found["n"], found["sum"], found["squares"])
    ),
    # Never -0.0, as in `finish`.
    "min": lambda found, function, as_of: found["min"] + 0.0,
    "max": lambda found, function, as_of: found["max"] + 0.0,
    "first": lambda found, function, as_of: _value(found["first"]),
    "last": lambda found, function, as_of: _value(found["last"]),
    "time_since_first": lambda found, function, as_of: _since(found["first"], as_of),
    "time_since_last": lambda found, function, as_of: _since(found["last"], as_of),
    "last_n": lambda found, function, as_of: found["latest"][: function.width],
    "approx_count_distinct": lambda found, function, as_of: _distinct(found["distinct"]),
}


def _value(point: Row | None) -> float:
    return math.nan if point is None else float(point[2])
