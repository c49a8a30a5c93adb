"""Reading many entities at once, or many rows of one: array calls, one pass a span."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_assets.features.engine.exact import Floats, Ints, Limbs, split, split_squares
from ml_assets.features.engine.finish import SKETCH, Statistics, finish
from ml_assets.features.engine.folding import limbs
from ml_assets.features.engine.layout import Kept, Layout
from ml_assets.features.engine.unpacked import Unpacked
from ml_assets.features.engine.windows import tail

Array = npt.NDArray[Any]
Hashes = npt.NDArray[np.uint64]


def read_many(layout: Layout, blobs: Sequence[bytes], as_of: Ints, upper: Ints) -> Floats:
    """The features (m, columns) of m entities: events in `[tail(as_of, span), upper)` count."""
    whole = Unpacked(layout, blobs)
    rows, line = _arranged(whole, upper)
    slots = [_Gathered(kept, whole, rows, line) for kept in layout.kept]
    starts = [tail(as_of, span) for span in layout.view.spans]
    records = [whole.records(start) if layout.has_records else None for start in starts]
    found = [
        slots[slot].statistics(span, starts[span], records[span]) for span, slot in layout.cells
    ]
    columns: list[Floats] = []
    for feature in layout.features:
        values = finish(feature.function, found[feature.cell], as_of)
        columns.append(values if values.ndim == 2 else values[:, None])
    return np.concatenate(columns, axis=1)


class _Line:
    """n events of m owners, by owner and at.

    first, end: (m) the stretch of each owner
    """

    def __init__(self, at: Ints, owner: Ints, m: int) -> None:
        self.at, self.owner = at, owner
        count = np.bincount(owner, minlength=m)
        self.end = np.cumsum(count)
        self.first = self.end - count
        self._since: dict[int, Ints] = {}

    def since(self, span: int, start: Ints) -> Ints:
        """(m) the place of the owner's first event at or after `start`, that of this span."""
        found = self._since.get(span)
        if found is None:
            early = self.owner[self.at < start[self.owner]]
            found = self.first + np.bincount(early, minlength=len(self.first))
            self._since[span] = found
        return found


def _arranged(whole: Unpacked, upper: Ints) -> tuple[Ints, _Line]:
    """Where the rows before `upper` start, by owner, at and uid; and their line."""
    rows, owner = whole.rows()
    at = whole.words[rows]
    before = at < upper[owner]
    if not before.all():
        rows, owner, at = rows[before], owner[before], at[before]
    if ((at[1:] <= at[:-1]) & (owner[1:] == owner[:-1])).any():
        order = np.lexsort((whole.words[rows + 1].view(np.uint64), at, owner))
        rows, at = rows[order], at[order]
    return rows, _Line(at, owner, whole.m)


class _Gathered:
    """What the rows, points and sketches of m blobs hold of one slot."""

    def __init__(self, kept: Kept, whole: Unpacked, rows: Ints, line: _Line) -> None:
        self._kept = kept
        values: Array = np.ones(len(rows))
        if kept.place >= 0:
            values = whole.words[rows + kept.place]
            values = values.view(np.uint64 if kept.slot.form == "hash" else np.float64)
            there = values != 0 if kept.slot.form == "hash" else values == values
            if not there.all():
                values, rows = values[there], rows[there]
                line = _Line(line.at[there], line.owner[there], whole.m)
        self._line, self._values = line, values
        self._uid = whole.words[rows + 1].view(np.uint64) if kept.needs & _BY_UID else None
        self._sums: dict[str, Ints] = {
            need: _running(_SPLIT[need](values)) for need in ("sum", "squares")
            if need in kept.needs
        }
        if kept.points:
            self._latest_line, self._latest_values = self._with_points(whole)
        if "distinct" in kept.needs:
            self._hashes, self._tiles, self._hashes_owner = self._with_sketches(whole)

    def statistics(self, span: int, start: Ints, record: Array | None) -> Statistics:
        """Of the windows that start at `start` (m); `record` (m) is what is folded of them."""
        kept, found, end = self._kept, Statistics(), self._line.end
        first = self._line.since(span, start)
        for need in kept.needs:
            past = None
            if record is not None and need in kept.record:
                past = record[kept.field(need)]
            if need == "n":
                found.n = end - first if past is None else end - first + past
            elif need in ("sum", "squares"):
                running = self._sums[need]
                total = Limbs(*(running[:, end] - running[:, first]))
                total = total if past is None else total.plus(limbs(past))
                if need == "sum":
                    found.total = total
                else:
                    found.squares = total
            elif need == "min":
                found.low = self._least(np.fmin, first, past)
            elif need == "max":
                found.high = self._least(np.fmax, first, past)
            elif need == "first":
                found.first = self._first(first, past)
            elif need == "distinct":
                found.kept, found.largest = self._distinct(start)
            elif found.latest is None:
                self._latest(found, span, start)
        return found

    def _least(self, least: np.ufunc, first: Ints, past: Array | None) -> Floats:
        end = self._line.end
        # Each second stretch is what lies between the windows; NaN is what none has.
        places = np.stack((first, end), axis=1).ravel()
        found: Floats = least.reduceat(np.append(self._values, np.nan), places)[::2]
        found = np.where(end > first, found, np.nan)
        return found if past is None else least(found, past)

    def _first(self, first: Ints, past: Array | None) -> tuple[Ints, Floats]:
        assert self._uid is not None, "it is kept where the first is asked for"
        m = len(first)
        at, value = np.zeros(m, dtype=np.int64), np.full(m, np.nan)
        uid = np.zeros(m, dtype=np.uint64)
        if past is not None:
            at, value, uid = past["at"].copy(), past["value"].copy(), past["uid"]
        owner = np.flatnonzero(self._line.end > first)
        row = first[owner]
        row_at = self._line.at[row]
        better = np.isnan(value[owner]) | (row_at < at[owner]) | (
            (row_at == at[owner]) & (self._uid[row] < uid[owner])
        )
        owner, row = owner[better], row[better]
        at[owner], value[owner] = self._line.at[row], self._values[row]
        return at, value

    def _latest(self, found: Statistics, span: int, start: Ints) -> None:
        line, points = self._latest_line, self._kept.points
        place = line.end[:, None] - 1 - np.arange(points)
        there = place >= line.since(span, start)[:, None]
        at = np.zeros(place.shape, dtype=np.int64)
        latest = np.full(place.shape, np.nan)
        at[there], latest[there] = line.at[place[there]], self._latest_values[place[there]]
        found.last = at[:, 0], latest[:, 0]
        found.latest = latest

    def _distinct(self, start: Ints) -> tuple[Ints, Hashes]:
        inside = self._tiles >= start[self._hashes_owner]
        hashes, owner = self._hashes[inside], self._hashes_owner[inside]
        new = np.ones(len(hashes), dtype=bool)
        new[1:] = (hashes[1:] != hashes[:-1]) | (owner[1:] != owner[:-1])
        hashes = np.append(hashes[new], np.uint64(0))
        count = np.bincount(owner[new], minlength=len(start))
        first = np.cumsum(count) - count
        kept = np.minimum(count, SKETCH)
        return kept, np.where(kept > 0, hashes[first + np.maximum(kept, 1) - 1], np.uint64(0))

    def _with_points(self, whole: Unpacked) -> tuple[_Line, Floats]:
        if not len(whole.folded):
            return self._line, self._values
        past, past_owner = whole.points(self._kept)
        at = np.concatenate((self._line.at, past["at"]))
        owner = np.concatenate((self._line.owner, past_owner))
        values = np.concatenate((self._values, past["value"]))
        assert self._uid is not None, "it is kept where points are"
        order = np.lexsort((np.concatenate((self._uid, past["uid"])), at, owner))
        return _Line(at[order], owner[order], whole.m), values[order]

    def _with_sketches(self, whole: Unpacked) -> tuple[Hashes, Ints, Ints]:
        hashes, tiles, owner = self._values, self._line.at, self._line.owner
        if len(whole.folded):
            past = whole.sketches(self._kept)
            hashes = np.concatenate((hashes, past[0]))
            tiles, owner = np.concatenate((tiles, past[1])), np.concatenate((owner, past[2]))
        order = np.lexsort((hashes, owner))
        return hashes[order], tiles[order], owner[order]


_BY_UID = frozenset({"first", "last", "latest"})
_SPLIT = {"sum": split, "squares": split_squares}


def _running(parts: Limbs) -> Ints:
    """(4, n + 1) the totals of what lies before each place. They may wrap around."""
    totals = np.zeros((4, len(parts.top) + 1), dtype=np.int64)
    np.cumsum(np.stack(parts), axis=1, out=totals[:, 1:])
    return totals
