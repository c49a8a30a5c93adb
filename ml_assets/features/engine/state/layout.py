"""How the online state of one entity lies in bytes.

    header | records | points | sketches | rows

`rows` are raw events, one after the other in order of arrival, so that an event is added by
appending its bytes. All before them is *folded*: what is known of the events before the
instant `cut`, in a form that answers any window which ends at or after `cut`:

records:  for each tile with events the statistics of all events from its start to `cut`, in
          order of time. A window takes just one record, the first at or after its tail.
points:   for slots with `last` or `last_n` the latest (at, uid, value) before `cut`, newest
          first, padded with NaN
sketches: for slots with `approx_count_distinct` pairs of a hash and the tile in which it came
          last; how many pairs each slot has comes first
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from struct import Struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ml_assets.features.engine.functions import Function
from ml_assets.features.engine.limits import limit_of
from ml_assets.features.engine.windows import Slot, WindowedView

FORMAT = 1
"""Part of a view's digest, so that state in another layout is never read."""

HEADER = Struct("<qIIII")
"""cut, bytes of all that is folded, number of records, rows left by the last fold, folds"""

NEVER = -(2**62)
"""The cut of a blob that was never folded: every instant can be answered."""

POINT = np.dtype([("at", "<i8"), ("uid", "<u8"), ("value", "<f8")])
SEEN = np.dtype([("hash", "<u8"), ("tile", "<i8")])

_RECORD_PARTS: dict[str, tuple[str, str, tuple[int, ...], tuple[float, ...]]] = {
    # statistic -> struct format, dtype, shape, what an empty window has
    "n": ("q", "<i8", (), (0,)),
    "sum": ("4q", "<i8", (4,), (0, 0, 0, 0)),
    "squares": ("4q", "<i8", (4,), (0, 0, 0, 0)),
    "min": ("d", "<f8", (), (np.nan,)),
    "max": ("d", "<f8", (), (np.nan,)),
    "first": ("qQd", "", (), (0, 0, np.nan)),
}


class Header(NamedTuple):
    cut: int
    folded: int
    records: int
    kept: int
    folds: int


@dataclass(frozen=True)
class Kept:
    """What is kept of one slot.

    place: which item of a row holds it; -1 where there is no column
    needs: the sufficient statistics of all its aggregates
    points: how many latest points are kept; 0 where none is needed
    record: for each statistic that records hold, its first item in a record
    limit: a value must be smaller than this in size
    """

    number: int
    slot: Slot
    place: int
    needs: frozenset[str]
    points: int
    first_point: int
    record: dict[str, int]
    limit: float

    @property
    def name(self) -> str:
        """Its field in `Layout.row`."""
        return f"v{self.place}"

    def field(self, statistic: str) -> str:
        """Its field in `Layout.record`."""
        return f"{statistic}{self.number}"


class Feature(NamedTuple):
    """A function and where it finds what it needs.

    cell: a place in `Layout.cells`; slot: the number of one; span: a place in `spans_of` it
    """

    function: Function
    cell: int
    slot: int
    span: int


@dataclass(frozen=True)
class Layout:
    """The plan of one view, made once; see `layout_of`."""

    view: WindowedView
    kept: tuple[Kept, ...]

    @cached_property
    def row(self) -> np.dtype[Any]:
        """An event: at (i8), uid (u8) and for each slot 8 bytes (a hash u8, else f8)."""
        return np.dtype([("at", "<i8"), ("uid", "<u8"), *(
            (each.name, "<u8" if each.slot.form == "hash" else "<f8")
            for each in self.kept if each.place >= 0
        )])

    @cached_property
    def row_struct(self) -> Struct:
        forms = (each.slot.form for each in self.kept if each.place >= 0)
        return Struct("<qQ" + "".join("Q" if form == "hash" else "d" for form in forms))

    @cached_property
    def record(self) -> np.dtype[Any]:
        fields: list[tuple[Any, ...]] = [("start", "<i8")]
        for each in self.kept:
            for statistic in each.record:
                _, dtype, shape, _ = _RECORD_PARTS[statistic]
                fields.append((each.field(statistic), dtype or POINT, shape))
        return np.dtype(fields)

    @cached_property
    def record_struct(self) -> Struct:
        return Struct("<q" + "".join(
            _RECORD_PARTS[statistic][0] for each in self.kept for statistic in each.record
        ))

    @cached_property
    def empty(self) -> tuple[Any, ...]:
        """The record of an empty window, as `record_struct` gives it."""
        return (0, *(
            item for each in self.kept for statistic in each.record
            for item in _RECORD_PARTS[statistic][3]
        ))

    @cached_property
    def nothing(self) -> bytes:
        return self.record_struct.pack(*self.empty)

    @cached_property
    def has_records(self) -> bool:
        return any(each.record for each in self.kept)

    @cached_property
    def points(self) -> int:
        return sum(each.points for each in self.kept)

    @cached_property
    def sketched(self) -> tuple[Kept, ...]:
        return tuple(each for each in self.kept if "distinct" in each.needs)

    @cached_property
    def cells(self) -> tuple[tuple[int, int], ...]:
        """All that aggregates look at: places in `view.spans` and in `kept`, by the first."""
        asked = {(each.span, each.slot) for each in self.view.aggregates}
        return tuple(
            (place, kept.number) for place, span in enumerate(self.view.spans)
            for kept in self.kept if (span, kept.slot) in asked
        )

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        places = {
            (self.view.spans[span], self.kept[slot].slot): place
            for place, (span, slot) in enumerate(self.cells)
        }
        found = []
        for each in self.view.aggregates:
            cell = places[each.span, each.slot]
            span, slot = self.cells[cell]
            found.append(Feature(each.function, cell, slot, self.spans_of[slot].index(span)))
        return tuple(found)

    @cached_property
    def spans_of(self) -> tuple[tuple[int, ...], ...]:
        """For each slot the places of its spans in `view.spans`."""
        return tuple(
            tuple(span for span, slot in self.cells if slot == kept.number) for kept in self.kept
        )

    @cached_property
    def alone(self) -> list[float]:
        """The features of an entity that was never seen."""
        values: list[float] = []
        for each in self.view.aggregates:
            value = each.function.alone
            values += [math.nan if value is None else value] * each.function.width
        return values

    def rows_of(self, blob: bytes, header: Header) -> npt.NDArray[Any]:
        return np.frombuffer(blob, self.row, offset=HEADER.size + header.folded)

    def records_of(self, blob: bytes, header: Header) -> npt.NDArray[Any]:
        return np.frombuffer(blob, self.record, header.records, HEADER.size)

    def points_of(self, blob: bytes, header: Header) -> npt.NDArray[Any]:
        """All slots' points, those of slot k from `first_point`; none in a fresh blob."""
        if not header.folded:
            return np.empty(0, POINT)
        start = HEADER.size + header.records * self.record.itemsize
        return np.frombuffer(blob, POINT, self.points, start)

    def sketches_of(self, blob: bytes, header: Header) -> list[npt.NDArray[Any]]:
        """For each of `sketched` its pairs."""
        if not header.folded or not self.sketched:
            return [np.empty(0, SEEN) for _ in self.sketched]
        start = (HEADER.size + header.records * self.record.itemsize
                 + self.points * POINT.itemsize)
        sizes = np.frombuffer(blob, "<i8", len(self.sketched), start).tolist()
        start += 8 * len(sizes)
        found = []
        for size in sizes:
            found.append(np.frombuffer(blob, SEEN, size, start))
            start += size * SEEN.itemsize
        return found


def header_of(blob: bytes) -> Header:
    return Header(*HEADER.unpack_from(blob))


_layouts: dict[int, Layout] = {}


def layout_of(view: WindowedView) -> Layout:
    """The plan of `view`, remembered for this object: to hash a view takes longer than a read."""
    found = _layouts.get(id(view))
    if found is None or found.view is not view:
        if len(_layouts) > 1000:
            _layouts.clear()
        found = _layouts[id(view)] = _lay_out(view)
    return found


def _lay_out(view: WindowedView) -> Layout:
    kept: list[Kept] = []
    item, point, place = 1, 0, 2
    for slot in dict.fromkeys(each.slot for each in view.aggregates):
        functions = [each.function for each in view.aggregates if each.slot == slot]
        needs = frozenset().union(*(each.kind.needs for each in functions))
        points = 0
        if needs & {"last", "latest"}:
            points = max(each.width for each in functions if each.kind.needs & {"last", "latest"})
        record = {}
        for statistic, (_, _, _, nothing) in _RECORD_PARTS.items():
            if statistic in needs:
                record[statistic] = item
                item += len(nothing)
        kept.append(Kept(
            number=len(kept), slot=slot, place=place if slot.column else -1, needs=needs,
            points=points, first_point=point, record=record, limit=limit_of(view, slot),
        ))
        point += points
        place += bool(slot.column)
    return Layout(view, tuple(kept))
