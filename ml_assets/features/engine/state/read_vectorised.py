"""Reading many entities at once, or many rows of one: array calls, for all spans together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_assets.features.engine.exact import Floats, Ints, Limbs, split, split_squares
from ml_assets.features.engine.finish import SKETCH, Statistics, finish
from ml_assets.features.engine.functions import Function
from ml_assets.features.engine.state.fold_rows import limbs
from ml_assets.features.engine.state.layout import Kept, Layout
from ml_assets.features.engine.state.unpacked import Unpacked
from ml_assets.features.engine.windows import tail

Array = npt.NDArray[Any]
Hashes = npt.NDArray[np.uint64]


def read_vectorised(layout: Layout, blobs: Sequence[bytes], as_of: Ints, upper: Ints) -> Floats:
    """The features (m, columns) of m entities: events in `[tail(as_of, span), upper)` count."""
    whole = Unpacked(layout, blobs)
    starts = _tails(as_of, layout.view.spans)
    rows, line = _arranged(whole, upper)
    records = whole.records(starts) if layout.has_records else None
    found = []
    for kept, spans in zip(layout.kept, layout.spans_of, strict=True):
        mine: Any = slice(None) if len(spans) == len(starts) else list(spans)
        found.append(_Gathered(kept, whole, rows, line, starts).statistics(
            mine, None if records is None else records[mine]
        ))
    values: dict[tuple[int, Function], Floats] = {}
    features = np.empty((whole.m, len(layout.alone)))
    place = 0
    for function, _, slot, span in layout.features:
        if (slot, function) not in values:
            values[slot, function] = finish(function, found[slot], as_of)
        end = place + function.width
        features[:, place:end] = values[slot, function][span].reshape(-1, function.width)
        place = end
    return features


def _tails(as_of: Ints, spans: Sequence[tuple[int, int]]) -> Ints:
    """(S, m) `tail` of each span."""
    window, slide = np.array(spans).T[..., None]
    found: Ints = tail(as_of, (window, slide))
    return found


class _Line:
    """n events of m owners, by owner and at.

    first, end: (m) the stretch of each owner
    """

    def __init__(self, at: Ints, owner: Ints, m: int) -> None:
        self.at, self.owner = at, owner
        count = np.bincount(owner, minlength=m)
        self.end = np.cumsum(count)
        self.first = self.end - count
        self._since: Ints | None = None

    def since(self, starts: Ints) -> Ints:
        """(S, m) the place of the owner's first event at or after `starts`, ever the same ones."""
        if self._since is None:
            window = self.owner + starts.shape[1] * np.arange(len(starts))[:, None]
            early = window[self.at < starts[:, self.owner]]
            count = np.bincount(early, minlength=starts.size)
            self._since = self.first + count.reshape(starts.shape)
        return self._since


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

    def __init__(
        self, kept: Kept, whole: Unpacked, rows: Ints, line: _Line, starts: Ints
    ) -> None:
        """starts: (S, m) where the windows of all the view's spans start"""
        self._kept, self._starts = kept, starts
        values: Array = np.ones(len(rows))
        if kept.place >= 0:
            values = whole.words[rows + kept.place]
            values = values.view(np.uint64 if kept.slot.form == "hash" else np.float64)
            there = values != 0 if kept.slot.form == "hash" else values == values
            if not there.all():
                values, rows = values[there], rows[there]
                line = _Line(line.at[there], line.owner[there], whole.m)
        self._line, self._values = line, values
        if kept.needs & {"first", "last", "latest"}:
            self._uid = whole.words[rows + 1].view(np.uint64)
        if kept.points:
            self._latest_line, self._latest_values = self._with_points(whole)
        if "distinct" in kept.needs:
            self._hashes, self._tiles, self._hashes_owner = self._with_sketches(whole)

    def statistics(self, spans: Any, records: Array | None) -> Statistics:
        """Of the windows (some, m) of the spans at these places of `starts`.

        records: (some, m) what is folded of them, None where nothing is
        """
        kept, found, end = self._kept, Statistics(), self._line.end
        first = self._line.since(self._starts)[spans]
        for need in kept.needs:
            past = None
            if records is not None and need in kept.record:
                past = records[kept.field(need)]
            if need == "n":
                found.n = end - first if past is None else end - first + past
            elif need == "sum":
                found.total = self._total(split, first, past)
            elif need == "squares":
                found.squares = self._total(split_squares, first, past)
            elif need == "min":
                found.low = self._least(np.fmin, first, past)
            elif need == "max":
                found.high = self._least(np.fmax, first, past)
            elif need == "first":
                found.first = self._first(first, past)
            elif need == "distinct":
                each = [self._distinct(start) for start in self._starts[spans]]
                found.kept = np.stack([count for count, _ in each])
                found.largest = np.stack([largest for _, largest in each])
            elif found.latest is None:
                self._latest(found, self._latest_line.since(self._starts)[spans])
        return found

    def _total(
        self, split: Callable[[Floats], Limbs], first: Ints, past: Array | None
    ) -> Limbs:
        """By differences of running totals, which may wrap around."""
        running = np.zeros((4, len(self._values) + 1), dtype=np.int64)
        np.cumsum(np.stack(split(self._values)), axis=1, out=running[:, 1:])
        total = Limbs(*(running[:, None, self._line.end] - running[:, first]))
        return total if past is None else total.plus(limbs(past))

    def _least(self, least: np.ufunc, first: Ints, past: Array | None) -> Floats:
        end = np.broadcast_to(self._line.end, first.shape)
        # Each second stretch is what lies between the windows; NaN is what none has.
        places = np.stack((first, end), axis=-1)
        found = least.reduceat(np.append(self._values, np.nan), places.ravel())[::2]
        found = np.where(end > first, found.reshape(first.shape), np.nan)
        return found if past is None else least(found, past)

    def _first(self, first: Ints, past: Array | None) -> tuple[Ints, Floats]:
        at, value = np.zeros(first.shape, dtype=np.int64), np.full(first.shape, np.nan)
        there = self._line.end > first
        if past is not None:
            at, value = past["at"].copy(), past["value"].copy()
            row = first[there]
            row_at = self._line.at[row]
            there[there] = np.isnan(value[there]) | (row_at < at[there]) | (
                (row_at == at[there]) & (self._uid[row] < past["uid"][there])
            )
        row = first[there]
        at[there], value[there] = self._line.at[row], self._values[row]
        return at, value

    def _latest(self, found: Statistics, first: Ints) -> None:
        line = self._latest_line
        place = line.end[:, None] - 1 - np.arange(self._kept.points)
        there = place >= first[..., None]
        row = np.broadcast_to(place, there.shape)[there]
        at, latest = np.zeros(there.shape, dtype=np.int64), np.full(there.shape, np.nan)
        at[there], latest[there] = line.at[row], self._latest_values[row]
        found.last = at[..., 0], latest[..., 0]
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

