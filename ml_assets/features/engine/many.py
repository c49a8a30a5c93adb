"""Reading many entities at once, or many rows of one: array calls, one pass a span."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_assets.features.engine.exact import Floats, Ints, Limbs
from ml_assets.features.engine.finish import SKETCH, Statistics, finish
from ml_assets.features.engine.folding import limbs, limbs_of, present, values_of
from ml_assets.features.engine.layout import HEADER, POINT, Header, Kept, Layout, header_of
from ml_assets.features.engine.windows import tail

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


def read_many(layout: Layout, blobs: Sequence[bytes], as_of: Ints, upper: Ints) -> Floats:
    """The features (m, columns) of m entities: events in `[tail(as_of, span), upper)` count."""
    headers = [header_of(blob) for blob in blobs]
    rows = np.frombuffer(b"".join(
        blob[HEADER.size + header.folded :] for blob, header in zip(blobs, headers, strict=True)
    ), layout.row)
    sizes = [
        (len(blob) - HEADER.size - header.folded) // layout.row.itemsize
        for blob, header in zip(blobs, headers, strict=True)
    ]
    owner = np.repeat(np.arange(len(blobs)), sizes)
    before = rows["at"] < upper[owner]
    rows, owner = rows[before], owner[before]
    gathered = {
        kept.number: _Gathered(layout, kept, rows, owner, blobs, headers) for kept in layout.kept
    }
    records: dict[tuple[int, int], Array] = {}
    found = []
    for span, kept in layout.cells:
        start = tail(as_of, span)
        if span not in records:
            records[span] = _records(layout, blobs, headers, start)
        found.append(gathered[kept.number].statistics(start, records[span]))
    columns: list[Floats] = []
    for feature in layout.features:
        values = finish(feature.aggregate.function, found[feature.cell], as_of)
        columns.append(values if values.ndim == 2 else values[:, None])
    return np.concatenate(columns, axis=1)


def _records(
    layout: Layout, blobs: Sequence[bytes], headers: Sequence[Header], start: Ints
) -> Array:
    """(m,) the record that each window takes, an empty one where there is none."""
    size, parts = layout.record.itemsize, []
    for blob, header, tail_start in zip(blobs, headers, start, strict=True):
        part = layout.nothing
        if header.records:
            place = int(layout.records_of(blob, header)["start"].searchsorted(tail_start))
            if place < header.records:
                part = blob[HEADER.size + place * size : HEADER.size + (place + 1) * size]
        parts.append(part)
    return np.frombuffer(b"".join(parts), layout.record)


class _Gathered:
    """What the rows and points of m blobs hold of one slot, sorted by owner, at and uid."""

    def __init__(
        self, layout: Layout, kept: Kept, rows: Array, owner: Ints, blobs: Sequence[bytes],
        headers: Sequence[Header],
    ) -> None:
        self._kept, self._m = kept, len(blobs)
        there = present(kept, rows)
        self._rows, self._owner = rows[there], owner[there]
        if kept.needs & {"first", "last", "latest"}:
            order = np.lexsort((self._rows["uid"], self._rows["at"], self._owner))
            self._rows, self._owner = self._rows[order], self._owner[order]
        self._limbs: dict[str, Ints] = {
            statistic: limbs_of(kept, statistic, self._rows)
            for statistic in ("sum", "squares") if statistic in kept.needs
        }
        if kept.points:
            self._points, self._points_owner = self._with_points(layout, blobs, headers)
        if "distinct" in kept.needs:
            self._hashes, self._tiles, self._hashes_owner = self._with_sketches(
                layout, blobs, headers
            )

    def statistics(self, start: Ints, record: Array) -> Statistics:
        """Of the windows that start at `start` (m); `record` (m) is what is folded of them."""
        kept, found = self._kept, Statistics()
        inside = self._rows["at"] >= start[self._owner]
        rows, owner = self._rows[inside], self._owner[inside]
        groups = _Groups(owner, self._m)
        for need in kept.needs:
            if need == "n":
                found.n = record[kept.field("n")] + np.bincount(owner, minlength=self._m)
            elif need == "sum":
                found.total = self._total("sum", inside, groups, record)
            elif need == "squares":
                found.squares = self._total("squares", inside, groups, record)
            elif need == "min":
                found.low = np.fmin(record[kept.field("min")], groups.reduce(
                    np.fmin, values_of(kept, rows), np.nan))
            elif need == "max":
                found.high = np.fmax(record[kept.field("max")], groups.reduce(
                    np.fmax, values_of(kept, rows), np.nan))
            elif need == "first":
                found.first = self._first(rows, groups, record)
            elif need == "distinct":
                found.kept, found.largest = self._distinct(start)
            elif found.latest is None:
                self._latest(found, start)
        return found

    def _total(self, statistic: str, inside: Mask, groups: _Groups, record: Array) -> Limbs:
        mine = self._limbs[statistic][:, inside]
        return limbs(record[self._kept.field(statistic)]).plus(
            Limbs(*(groups.reduce(np.add, limb, 0) for limb in mine))
        )

    def _first(self, rows: Array, groups: _Groups, record: Array) -> tuple[Ints, Floats]:
        before = record[self._kept.field("first")]
        at, value, uid = before["at"].copy(), before["value"].copy(), before["uid"]
        row, owner = rows[groups.starts], groups.owners
        better = np.isnan(value[owner]) | (row["at"] < at[owner]) | (
            (row["at"] == at[owner]) & (row["uid"] < uid[owner])
        )
        at[owner] = np.where(better, row["at"], at[owner])
        value[owner] = np.where(better, values_of(self._kept, row), value[owner])
        return at, value

    def _latest(self, found: Statistics, start: Ints) -> None:
        inside = self._points["at"] >= start[self._points_owner]
        points = self._points[inside]
        groups = _Groups(self._points_owner[inside], self._m)
        at = np.zeros((self._m, self._kept.points), dtype=np.int64)
        latest = np.full((self._m, self._kept.points), np.nan)
        place = groups.ends[:, None] - 1 - np.arange(self._kept.points)
        there = place >= groups.starts[:, None]
        place = np.where(there, place, 0)
        if len(points):
            at[groups.owners] = np.where(there, points["at"][place], 0)
            latest[groups.owners] = np.where(there, points["value"][place], np.nan)
        found.last = at[:, 0], latest[:, 0]
        found.latest = latest

    def _distinct(self, start: Ints) -> tuple[Ints, npt.NDArray[np.uint64]]:
        inside = self._tiles >= start[self._hashes_owner]
        hashes, owner = self._hashes[inside], self._hashes_owner[inside]
        new = np.ones(len(hashes), dtype=bool)
        new[1:] = (hashes[1:] != hashes[:-1]) | (owner[1:] != owner[:-1])
        hashes, groups = hashes[new], _Groups(owner[new], self._m)
        kept = np.zeros(self._m, dtype=np.int64)
        largest = np.zeros(self._m, dtype=np.uint64)
        size = np.minimum(groups.ends - groups.starts, SKETCH)
        kept[groups.owners] = size
        largest[groups.owners] = hashes[groups.starts + size - 1]
        return kept, largest

    def _with_points(
        self, layout: Layout, blobs: Sequence[bytes], headers: Sequence[Header]
    ) -> tuple[Array, Ints]:
        first, count = self._kept.first_point, self._kept.points
        past = [
            layout.points_of(blob, header)[first : first + count]
            for blob, header in zip(blobs, headers, strict=True)
        ]
        mine = np.empty(len(self._rows), POINT)
        mine["at"], mine["uid"] = self._rows["at"], self._rows["uid"]
        mine["value"] = values_of(self._kept, self._rows)
        points = np.concatenate((mine, *past))
        owner = np.concatenate((
            self._owner, np.repeat(np.arange(self._m), [len(each) for each in past])
        ))
        there = ~np.isnan(points["value"])
        points, owner = points[there], owner[there]
        order = np.lexsort((points["uid"], points["at"], owner))
        return points[order], owner[order]

    def _with_sketches(
        self, layout: Layout, blobs: Sequence[bytes], headers: Sequence[Header]
    ) -> tuple[npt.NDArray[np.uint64], Ints, Ints]:
        number = layout.sketched.index(self._kept)
        past = [
            layout.sketches_of(blob, header)[number]
            for blob, header in zip(blobs, headers, strict=True)
        ]
        hashes = np.concatenate((
            self._rows[self._kept.name], *(each["hash"] for each in past)
        ))
        tiles = np.concatenate((self._rows["at"], *(each["tile"] for each in past)))
        owner = np.concatenate((
            self._owner, np.repeat(np.arange(self._m), [len(each) for each in past])
        ))
        order = np.lexsort((hashes, owner))
        return hashes[order], tiles[order], owner[order]


class _Groups:
    """Runs of equal owners: where they start and end, and whose they are."""

    def __init__(self, owner: Ints, m: int) -> None:
        self._m = m
        changes = np.ones(len(owner), dtype=bool)
        changes[1:] = owner[1:] != owner[:-1]
        self.starts = np.flatnonzero(changes)
        self.ends = np.append(self.starts[1:], len(owner))[: len(self.starts)]
        self.owners = owner[self.starts]

    def reduce(self, function: np.ufunc, values: Array, nothing: float) -> Array:
        """(m,) of all groups; `nothing` for an owner without."""
        found = np.full(self._m, nothing, dtype=values.dtype)
        if len(self.starts):
            found[self.owners] = function.reduceat(values, self.starts)
        return found
