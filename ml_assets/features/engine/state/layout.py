"""How the online state of one entity lies in bytes.

    header | records | points | sketches | rows

`rows` are raw events, one after the other in order of arrival, so that an event is added by
appending its bytes. All before them is *folded*: what is known of the events before the
instant `cut`, in a form that answers any window which ends at or after `cut`:

records:  for each tile with events the statistics of all events from its start to `cut`, in
          order of time. A window takes just one record, the first at or after its tail.
points:   for slots with a `PointsStatistic` the latest (at, uid, value) before `cut`, newest
          first, padded with NaN
sketches: for slots with a `SketchStatistic` its items, each a value and a tile; how many
          items each slot has comes first
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from struct import Struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ml_assets.features.engine.functions.base import (
    POINT,
    Function,
    PointsStatistic,
    RecordStatistic,
    SketchStatistic,
    Statistic,
)
from ml_assets.features.engine.limits import limit_of
from ml_assets.features.engine.windows import Slot, WindowedView

FORMAT = 1
"""Part of a view's digest, so that state in another layout is never read."""

HEADER = Struct("<qIIII")
"""cut, bytes of all that is folded, number of records, rows left by the last fold, folds"""

NEVER = -(2**62)
"""The cut of a blob that was never folded: every instant can be answered."""


class Header(NamedTuple):
    cut: int
    folded: int
    records: int
    kept: int
    folds: int


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What is kept of one slot.

    item: which one of a row holds it; -1 if there is no column
    needs: what the functions of all its aggregates are finished from
    record: those of them that records hold, each with its first item in one; fields: and with
        its field in `Layout.record`
    points: how many latest points are kept, by which statistic; sketch: the same of items
    limit: a value must be smaller than this in size
    """

    number: int
    slot: Slot
    item: int
    needs: tuple[Statistic, ...]
    record: dict[Statistic, int]
    fields: dict[RecordStatistic, str]
    points: PointsStatistic | None
    first_point: int
    sketch: SketchStatistic | None
    limit: float

    @property
    def name(self) -> str:
        """Its field in `Layout.row`."""
        return f"v{self.item}"


class Feature(NamedTuple):
    """A function, its slot by number, and its span by index in `spans_of` the slot."""

    function: Function
    slot: int
    span: int


class ScalarPlan(NamedTuple):
    """How the features of one entity are read, each statistic of a window once.

    windows: all that aggregates look at: indices of `view.spans` and of `Layout.kept`
    statistics: the scalar form of one, the index of its window, its first item in a record
    features: a function's last step, the index of its first statistic, what takes all of them
        out of a list if it needs more, and whether it gives a list
    """

    windows: list[tuple[int, int]]
    statistics: list[tuple[Callable[..., Any], int, int]]
    features: list[tuple[Callable[..., Any], int, Callable[[list[Any]], Any] | None, bool]]


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
            for each in self.kept if each.item >= 0
        )])

    @cached_property
    def row_struct(self) -> Struct:
        forms = (each.slot.form for each in self.kept if each.item >= 0)
        return Struct("<qQ" + "".join("Q" if form == "hash" else "d" for form in forms))

    @cached_property
    def record(self) -> np.dtype[Any]:
        return np.dtype([("start", "<i8"), *(
            (field, each.dtype) for kept in self.kept for each, field in kept.fields.items()
        )])

    @cached_property
    def record_struct(self) -> Struct:
        return Struct("<q" + "".join(each.form for kept in self.kept for each in kept.fields))

    @cached_property
    def nothing(self) -> bytes:
        """The record of an empty window."""
        items = (item for kept in self.kept for each in kept.fields for item in each.empty)
        return self.record_struct.pack(0, *items)

    @cached_property
    def has_records(self) -> bool:
        return any(each.record for each in self.kept)

    @cached_property
    def points(self) -> int:
        return sum(each.points.points for each in self.kept if each.points)

    @cached_property
    def sketched(self) -> tuple[Kept, ...]:
        return tuple(each for each in self.kept if each.sketch)

    @cached_property
    def spans_of(self) -> tuple[tuple[int, ...], ...]:
        """For each slot the places in `view.spans` of those that its aggregates look at."""
        spans_of: dict[Slot, set[int]] = {kept.slot: set() for kept in self.kept}
        for each in self.view.aggregates:
            spans_of[each.slot].add(self.view.spans.index(each.span))
        return tuple(tuple(sorted(spans)) for spans in spans_of.values())

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        numbers = {kept.slot: kept.number for kept in self.kept}
        spans = self.view.spans
        return tuple(
            Feature(each.function, numbers[each.slot],
                    self.spans_of[numbers[each.slot]].index(spans.index(each.span)))
            for each in self.view.aggregates
        )

    @cached_property
    def scalar_plan(self) -> ScalarPlan:
        windows: dict[tuple[int, int], int] = {}
        numbers: dict[tuple[int, Statistic], int] = {}
        plan = ScalarPlan([], [], [])
        for function, slot, span in self.features:
            window = windows.setdefault((self.spans_of[slot][span], slot), len(windows))
            for need in function.needs:
                if (window, need) not in numbers:
                    numbers[window, need] = len(numbers)
                    item = self.kept[slot].record.get(need, -1)
                    plan.statistics.append((need.scalar, window, item))
            needs = [numbers[window, need] for need in function.needs]
            plan.features.append((
                function.finish_scalar, needs[0],
                itemgetter(*needs) if len(needs) > 1 else None, function.is_list,
            ))
        plan.windows.extend(windows)
        return plan

    @cached_property
    def never_seen(self) -> list[float]:
        """The features of an entity of which no event is known."""
        values: list[float] = []
        for each in self.view.aggregates:
            value = each.function.empty
            values += [math.nan if value is None else float(value)] * each.function.width
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
        """For each of `sketched` its items."""
        if not header.folded or not self.sketched:
            return [np.empty(0, each.sketch.item) for each in self.sketched if each.sketch]
        start = (HEADER.size + header.records * self.record.itemsize
                 + self.points * POINT.itemsize)
        sizes = np.frombuffer(blob, "<i8", len(self.sketched), start).tolist()
        start += 8 * len(sizes)
        found = []
        for each, size in zip(self.sketched, sizes, strict=True):
            assert each.sketch is not None
            found.append(np.frombuffer(blob, each.sketch.item, size, start))
            start += size * each.sketch.item.itemsize
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
    first_item, first_point, row_item = 1, 0, 2
    for slot in dict.fromkeys(each.slot for each in view.aggregates):
        needs = tuple(dict.fromkeys(
            need for each in view.aggregates if each.slot == slot for need in each.function.needs
        ))
        recorded = [each for each in needs if isinstance(each, RecordStatistic)]
        record: dict[Statistic, int] = {}
        fields = {}
        for each in sorted(recorded, key=lambda each: (each.rank, each.name)):
            record[each], fields[each] = first_item, f"{each.name}{len(kept)}"
            first_item += len(each.empty)
        points = max((each for each in needs if isinstance(each, PointsStatistic)),
                     key=lambda each: each.points, default=None)
        kept.append(Kept(
            number=len(kept), slot=slot, item=row_item if slot.column else -1, needs=needs,
            record=record, fields=fields, points=points, first_point=first_point,
            sketch=next((each for each in needs if isinstance(each, SketchStatistic)), None),
            limit=limit_of(view, slot),
        ))
        first_point += points.points if points else 0
        row_item += bool(slot.column)
    return Layout(view, tuple(kept))
