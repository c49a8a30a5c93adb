"""Folding: raw events of the past become records, points and sketches.

Nothing here depends on the order in which events arrived or on how often was folded before.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from math import gcd

import numpy as np
import numpy.typing as npt

from ml_assets.features.engine.exact import Ints
from ml_assets.features.engine.series import Array, Series
from ml_assets.features.engine.state.layout import HEADER, Kept, Layout, header_of
from ml_assets.features.engine.windows import WindowedView


def fold(layout: Layout, blob: bytes, newest: int | None = None) -> bytes:
    """`blob` with its rows folded that lie before the new cut, see `state.fold`."""
    view, header = layout.view, header_of(blob)
    rows = layout.rows_of(blob, header)
    latest = [] if newest is None else [newest]
    if len(rows):
        latest.append(int(rows["at"].max()))
    cut = header.cut
    if latest:
        cut = max(cut, (max(latest) - view.lateness) // view.tile * view.tile)
    reach = cut - view.horizon
    past = rows["at"] < cut
    old = rows[past & (rows["at"] >= reach)]
    old = old[np.lexsort((old["uid"], old["at"]))]
    rows = rows[~past]
    series = [_series(each, old) for each in layout.kept]
    records = layout.records_of(blob, header)
    records = records[records["start"] >= reach]
    if len(old) and layout.has_records:
        records = _with_rows(layout, records, old["at"], series)
    records = records[_needed(view, records["start"], cut)]
    past_points = layout.points_of(blob, header)
    points = [
        each.points.fold(past_points[each.first_point :][: each.points.points], mine, reach)
        for each, mine in zip(layout.kept, series, strict=True) if each.points
    ]
    sketches = [
        each.sketch.fold(items, series[each.number], reach, partial(_tile_of, view, cut))
        for each, items in zip(layout.sketched, layout.sketches_of(blob, header), strict=True)
        if each.sketch
    ]
    sizes = np.array([len(each) for each in sketches], dtype="<i8")
    parts = [each.tobytes() for each in (records, *points, sizes, *sketches)]
    folded = sum(map(len, parts))
    header_bytes = HEADER.pack(
        cut, folded, len(records), len(rows), (header.folds + 1) % 2**32
    )
    return b"".join((header_bytes, *parts, rows.tobytes()))


def newest_of(layout: Layout, blob: bytes) -> int:
    """No event in `blob` is at or after this instant; NEVER where it has none."""
    header = header_of(blob)
    rows = layout.rows_of(blob, header)
    if len(rows):
        return max(int(rows["at"].max()) + 1, header.cut)
    return header.cut


def _series(kept: Kept, old: Array) -> Series:
    values = None if kept.item < 0 else old[kept.name]
    return Series.of(kept.slot.form, values, np.arange(len(old)), old["at"], old["uid"])


def _with_rows(layout: Layout, records: Array, at: Ints, series: Sequence[Series]) -> Array:
    """`records` merged with what each slot's `series` holds of the events that were `at`."""
    starts = np.union1d(records["start"], at // layout.view.tile * layout.view.tile)
    # A window takes the first record at or after its tail.
    nothing = np.frombuffer(layout.nothing, layout.record)
    found = np.concatenate((records, nothing))[np.searchsorted(records["start"], starts)]
    found["start"] = starts
    first = np.searchsorted(at, starts)
    for kept, mine in zip(layout.kept, series, strict=True):
        stretch = mine.stretch(first, np.full(len(first), len(at)))
        for statistic, field in kept.fields.items():
            merged = statistic.merge(statistic.over(mine)(*stretch), found[field])
            found[field] = statistic.pack(merged)
    return found


def _tile_of(view: WindowedView, cut: int, instants: Ints) -> Ints:
    """Where the stretch starts that each of `instants` lies in, which windows see whole or not.

    That is every window which ends at or after `cut`. Of the distant past only long ones see
    anything, whose slides are long: there stretches are longer than a tile.
    """
    spans = sorted(view.spans)
    # For each number of spans, from the longest on, the slide that all of their tails lie on.
    grids = np.array([view.tile, *accumulate((slide for _, slide in reversed(spans)), gcd)])
    seen_by = len(spans) - np.searchsorted([window for window, _ in spans], cut - instants)
    grid = grids[seen_by]
    found: Ints = instants // grid * grid
    return found


def _needed(view: WindowedView, starts: Ints, cut: int) -> npt.NDArray[np.bool_]:
    """Which records some window can take that ends at or after `cut`.

    A record is needless where no tail lies between the one before it and itself. Tails of short
    windows, which may be close together, are all recent: of the distant past a few suffice.
    """
    wanted = np.zeros(len(starts), dtype=bool)
    before: int | None = None
    for place, start in enumerate(starts.tolist()):
        slides = [slide for window, slide in view.spans if start >= cut - window]
        boundary = start // gcd(*slides) * gcd(*slides) if slides else start
        if before is None or before < boundary:
            wanted[place], before = True, start
    return wanted
