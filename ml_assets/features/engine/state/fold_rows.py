"""Folding: raw events of the past become records, points and sketches.

Nothing here depends on the order in which events arrived or on how often was folded before.
"""

from __future__ import annotations

import heapq
from math import gcd
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_assets.features.engine.exact import Ints, Limbs, split, split_squares
from ml_assets.features.engine.finish import SKETCH
from ml_assets.features.engine.state.layout import (
    HEADER,
    NEVER,
    POINT,
    SEEN,
    Kept,
    Layout,
    header_of,
)
from ml_assets.features.engine.windows import WindowedView

Array = npt.NDArray[Any]


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
    old = _in_order(rows[past & (rows["at"] >= reach)])
    kept = rows[~past]
    records = layout.records_of(blob, header)
    records = records[records["start"] >= reach]
    if len(old) and layout.has_records:
        records = _with_rows(layout, records, old)
    records = records[_needed(view, records["start"], cut)]
    points = [
        _latest(each, layout.points_of(blob, header), old, reach)
        for each in layout.kept if each.points
    ]
    sketches = [
        _sketch(view.tile, sketch, old[each.name], old["at"], reach)
        for each, sketch in zip(layout.sketched, layout.sketches_of(blob, header), strict=True)
    ]
    sizes = np.array([len(each) for each in sketches], dtype="<i8")
    parts = [each.tobytes() for each in (records, *points, sizes, *sketches)]
    folded = sum(map(len, parts))
    header_bytes = HEADER.pack(
        cut, folded, len(records), len(kept), (header.folds + 1) % 2**32
    )
    return b"".join((header_bytes, *parts, kept.tobytes()))


def newest_of(layout: Layout, blob: bytes) -> int:
    """No event in `blob` is at or after this instant; NEVER where it has none."""
    header = header_of(blob)
    rows = layout.rows_of(blob, header)
    if len(rows):
        return max(int(rows["at"].max()) + 1, header.cut)
    return header.cut


def present(kept: Kept, rows: Array) -> npt.NDArray[np.bool_]:
    """In which of `rows` the slot has a value."""
    if kept.place < 0:
        return np.ones(len(rows), dtype=bool)
    values = rows[kept.name]
    found: npt.NDArray[np.bool_]
    found = values != 0 if kept.slot.form == "hash" else ~np.isnan(values)
    return found


def values_of(kept: Kept, rows: Array) -> Array:
    return np.ones(len(rows)) if kept.place < 0 else rows[kept.name]


def limbs_of(kept: Kept, statistic: str, rows: Array) -> Ints:
    """(4, n): the limbs of the values or of their squares; zero where there is no value."""
    values = np.where(present(kept, rows), values_of(kept, rows), 0.0)
    return np.stack(split(values) if statistic == "sum" else split_squares(values))


def limbs(column: Ints) -> Limbs:
    """From (m, 4), as records have them."""
    return Limbs(*np.moveaxis(column, -1, 0))


def _with_rows(layout: Layout, records: Array, old: Array) -> Array:
    """`records` and those of `old`, which is sorted by (at, uid), together."""
    tiles = old["at"] // layout.view.tile * layout.view.tile
    starts = np.union1d(records["start"], tiles)
    # A window takes the first record at or after its tail.
    nothing = np.frombuffer(layout.nothing, layout.record)
    found = np.concatenate((records, nothing))[np.searchsorted(records["start"], starts)]
    found["start"] = starts
    # From its first row at or after the start on, all rows count.
    first_row = np.searchsorted(old["at"], starts)
    inside = first_row < len(old)
    first_row = np.minimum(first_row, len(old) - 1)
    for each in layout.kept:
        there = present(each, old)
        for statistic in each.record:
            field = each.field(statistic)
            if statistic == "n":
                found[field] += np.where(inside, _from_here(there.astype(np.int64))[first_row], 0)
            elif statistic in ("sum", "squares"):
                totals = _from_here(limbs_of(each, statistic, old))[:, first_row]
                found[field] += np.where(inside, totals, 0).T
            elif statistic == "first":
                _take_earlier(found[field], each, old, there, first_row, inside)
            else:
                least = np.fmin if statistic == "min" else np.fmax
                values = np.where(there, values_of(each, old), np.nan)
                so_far = least.accumulate(values[::-1])[::-1]
                found[field] = least(found[field], np.where(inside, so_far[first_row], np.nan))
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


def _from_here(values: Ints) -> Ints:
    """Running totals from each place to the end."""
    totals: Ints = np.cumsum(values[..., ::-1], axis=-1)[..., ::-1]
    return totals


def _take_earlier(
    points: Array, kept: Kept, old: Array, there: npt.NDArray[np.bool_],
    first_row: Ints, inside: npt.NDArray[np.bool_],
) -> None:
    """Put the first row with a value in place of a later point."""
    places = np.where(there, np.arange(len(old)), len(old))
    place = np.minimum.accumulate(places[::-1])[::-1][first_row]
    inside = inside & (place < len(old))
    place = np.minimum(place, len(old) - 1)
    row = old[place]
    earlier = (row["at"] < points["at"]) | (
        (row["at"] == points["at"]) & (row["uid"] < points["uid"])
    )
    better = inside & (earlier | np.isnan(points["value"]))
    points["at"] = np.where(better, row["at"], points["at"])
    points["uid"] = np.where(better, row["uid"], points["uid"])
    points["value"] = np.where(better, values_of(kept, row), points["value"])


def _latest(kept: Kept, points: Array, old: Array, reach: int) -> Array:
    """(points,) the latest of both, newest first, padded with NaN."""
    before = points[kept.first_point : kept.first_point + kept.points]
    before = before[~np.isnan(before["value"]) & (before["at"] >= reach)]
    rows = old[present(kept, old)]
    both = np.empty(len(before) + len(rows), POINT)
    both[: len(before)] = before
    both["at"][len(before) :] = rows["at"]
    both["uid"][len(before) :] = rows["uid"]
    both["value"][len(before) :] = values_of(kept, rows)
    newest = _in_order(both)[::-1][: kept.points]
    found = np.zeros(kept.points, POINT)
    found["at"], found["value"] = NEVER, np.nan
    found[: len(newest)] = newest
    return found


def _sketch(tile: int, sketch: Array, hashes: Array, at: Ints, reach: int) -> Array:
    """The pairs that some window can need: each hash once, with its latest tile.

    A window sees the hashes whose latest tile is at or after its tail, and takes the smallest
    `SKETCH` of them. So a pair is needless once `SKETCH` smaller hashes came as late.
    """
    there = hashes != 0
    every = np.concatenate((sketch["hash"], hashes[there]))
    tiles = np.concatenate((sketch["tile"], at[there] // tile * tile))
    order = np.lexsort((-tiles, every))
    every, tiles = every[order], tiles[order]
    wanted = tiles >= reach
    wanted[1:] &= every[1:] != every[:-1]
    every, tiles = every[wanted], tiles[wanted]
    if len(every) > 4 * SKETCH:
        wanted = _undominated(tiles)
        every, tiles = every[wanted], tiles[wanted]
    found = np.empty(len(every), SEEN)
    found["hash"], found["tile"] = every, tiles
    return found


def _undominated(tiles: Ints) -> npt.NDArray[np.bool_]:
    """Which of the pairs, in ascending order of hash, are among the smallest of some window."""
    wanted = np.zeros(len(tiles), dtype=bool)
    latest: list[int] = []  # of those so far
    for place, tile in enumerate(tiles.tolist()):
        if len(latest) < SKETCH:
            heapq.heappush(latest, tile)
        elif tile > latest[0]:
            heapq.heapreplace(latest, tile)
        else:
            continue
        wanted[place] = True
    return wanted


def _in_order(events: Array) -> Array:
    return events[np.lexsort((events["uid"], events["at"]))]
