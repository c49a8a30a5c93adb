"""Reading many entities at once, or many rows of one: array calls, for all spans together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ml_assets.features.engine.exact import Floats, Ints
from ml_assets.features.engine.functions import Function
from ml_assets.features.engine.functions.base import PointsStatistic, SketchStatistic, Statistic
from ml_assets.features.engine.series import Array, Hashes, Series, Stretch
from ml_assets.features.engine.state.layout import Kept, Layout
from ml_assets.features.engine.state.unpacked import Folded, Unpacked
from ml_assets.features.engine.windows import tail


def read_vectorised(layout: Layout, blobs: Sequence[bytes], as_of: Ints, upper: Ints) -> Floats:
    """The features (m, columns) of m entities: events in `[tail(as_of, span), upper)` count."""
    unpacked = Unpacked(layout, blobs)
    starts = _tails(as_of, layout.view.spans)
    ends = np.empty_like(starts)
    ends[:] = as_of
    line = _line(unpacked, upper)
    records = unpacked.records(starts) if layout.has_records else None
    found = []
    for kept, spans in zip(layout.kept, layout.spans_of, strict=True):
        mine: Any = slice(None) if len(spans) == len(starts) else list(spans)
        past = None if records is None else records[mine].ravel()
        found.append(_statistics(kept, unpacked, line, starts, mine, past))
    values: dict[tuple[int, Function], Floats] = {}
    features = np.empty((unpacked.m, len(layout.never_seen)))
    place = 0
    with np.errstate(invalid="ignore", divide="ignore"):
        for function, slot, span in layout.features:
            width, spans = function.width, layout.spans_of[slot]
            if (slot, function) not in values:
                values[slot, function] = function.finish(
                    ends[: len(spans)].ravel(), *(found[slot][need] for need in function.needs)
                ).reshape(len(spans), -1, width)
            features[:, place : place + width] = values[slot, function][span]
            place += width
    return features


def _tails(as_of: Ints, spans: Sequence[tuple[int, int]]) -> Ints:
    """(S, m) `tail` of each span."""
    window, slide = np.array(spans).T[..., None]
    found: Ints = tail(as_of, (window, slide))
    return found


class _Line:
    """n events of m owners, by owner and at. row: (n) where they start among the words."""

    def __init__(self, row: Ints, owner: Ints, at: Ints, m: int) -> None:
        self.row, self.owner, self._at = row, owner, at
        count = np.bincount(owner, minlength=m)
        self._end = np.cumsum(count)
        self._first = self._end - count
        self._since: Ints | None = None

    def windows(self, starts: Ints, mine: Any) -> Stretch:
        """The stretches of the windows that start at `starts[mine]`, one span after the other.

        starts: (S, m), at each call the same
        """
        if self._since is None:
            window = self.owner + starts.shape[1] * np.arange(len(starts))[:, None]
            early = window[self._at < starts[:, self.owner]]
            count = np.bincount(early, minlength=starts.size)
            self._since = self._first + count.reshape(starts.shape)
        first = self._since[mine]
        end = np.empty_like(first)
        end[:] = self._end
        return first.ravel(), end.ravel()


def _line(unpacked: Unpacked, upper: Ints) -> _Line:
    """The rows before `upper`, those with the same instant by uid."""
    row, owner = unpacked.rows()
    at = unpacked.words[row]
    before = at < upper[owner]
    if not before.all():
        row, owner, at = row[before], owner[before], at[before]
    if ((at[1:] <= at[:-1]) & (owner[1:] == owner[:-1])).any():
        order = _order(owner, at, unpacked.uids[row])
        row, at = row[order], at[order]
    return _Line(row, owner, at, unpacked.m)


def _statistics(
    kept: Kept, unpacked: Unpacked, line: _Line, starts: Ints, mine: Any, past: Array | None
) -> dict[Statistic, Any]:
    """What a slot's windows hold, which start at `starts[mine]`.

    past: what records hold of them; None if nothing is folded
    """
    values = None
    if kept.item >= 0:
        form = np.uint64 if kept.slot.form == "hash" else np.float64
        values = unpacked.words[line.row + kept.item].view(form)
    series = Series.of(kept.slot.form, values, line.row, unpacked.words, unpacked.uids)
    stretch = series.stretch(*line.windows(starts, mine))
    found: dict[Statistic, Any] = {}
    for need, field in kept.fields.items():
        found[need] = need.over(series)(*stretch)
        if past is not None:
            found[need] = need.merge(found[need], past[field])
    for needs, folded in (
        ([each for each in kept.needs if isinstance(each, PointsStatistic)], unpacked.points),
        ([each for each in kept.needs if isinstance(each, SketchStatistic)], unpacked.sketches),
    ):
        joined, windows = series, stretch
        if needs and len(unpacked.folded):
            joined, its_line = _join(series, line, unpacked, folded(kept))
            windows = its_line.windows(starts, mine)
        found |= {need: need.over(joined)(*windows) for need in needs}
    return found


def _join(
    series: Series, line: _Line, unpacked: Unpacked, folded: Folded
) -> tuple[Series, _Line]:
    """A series, whose events `line` has, with `folded` values of the same slot among them."""
    owner = line.owner
    if series.before is not None:
        owner = owner[np.diff(series.before) > 0]
    row = np.concatenate((series.row, folded.row))
    owner = np.concatenate((owner, folded.owner))
    values = np.concatenate((series.values_at(np.arange(len(series.row))), folded.values))
    at = unpacked.words[row]
    order = _order(owner, at, unpacked.uids[row] if folded.has_uid else None)
    row, at, weight = row[order], at[order], None
    if folded.weight is not None:
        weight = np.concatenate((np.ones(len(series.row), np.int64), folded.weight))[order]
    return (
        Series(row, values[order], None, unpacked.words, unpacked.uids, weight),
        _Line(row, owner[order], at, unpacked.m),
    )


def _order(owner: Ints, at: Ints, uid: Hashes | None) -> Ints:
    """By owner, at and, unless ties do not matter, uid."""
    by_time: Ints = np.argsort(at)
    bits = len(at).bit_length()
    # Sorting one packed key takes a tenth of what `np.lexsort` does.
    keys = owner[by_time] << bits | np.arange(len(at))
    keys.sort()
    order: Ints = by_time[keys & ((1 << bits) - 1)]
    if uid is not None:
        owner, at = owner[order], at[order]
        if ((at[1:] == at[:-1]) & (owner[1:] == owner[:-1])).any():
            order = order[np.lexsort((uid[order], at, owner))]
    return order
