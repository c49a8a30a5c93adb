"""From a column of events, and stretches of it, to what the stretches hold of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ml_assets.features.engine.distinct import Distinct
from ml_assets.features.engine.events import Events
from ml_assets.features.engine.exact import Floats, Ints, split, split_squares
from ml_assets.features.engine.finish import Statistics
from ml_assets.features.engine.limits import require_summable
from ml_assets.features.engine.ranges import Smallest, Totals
from ml_assets.features.engine.windows import Aggregate, Slot, WindowedView

Span: TypeAlias = tuple[int, int]
Stretch: TypeAlias = tuple[Ints, Ints]
"""(m) first places and (m) ends: half-open stretches."""


@dataclass(frozen=True)
class Column:
    """What n events hold of one slot, without those where it is missing.

    row:    (k) where the others lie in the unsorted events, by entity and time
    values: (k) theirs; None for a slot without column, or where only being there matters
    before: (n + 1) how many of them there are before each event; None where all k = n are
    at:     the instants of the unsorted events
    """

    row: Ints
    values: npt.NDArray[Any] | None
    before: Ints | None
    at: Ints

    @staticmethod
    def of(view: WindowedView, slot: Slot, events: Events, row: Ints) -> Column:
        """row: (n) where the events lie, in their order. Raises ContractViolation."""
        if not slot.column:
            return Column(row, None, None, events.at)
        values = events.values[slot][row]
        there = values != 0 if slot.form == "hash" else np.isfinite(values)
        if slot.form == "number":
            require_summable(view, slot, values)
        if there.all():
            return Column(row, None if slot.form == "rows" else values, None, events.at)
        before = np.zeros(len(row) + 1, dtype=np.int64)
        np.cumsum(there, out=before[1:])
        kept = None if slot.form == "rows" else values[there]
        return Column(row[there], kept, before, events.at)

    def stretch(self, events: Stretch) -> Stretch:
        """A stretch of the n events as one of the k values."""
        if self.before is None:
            return events
        first, end = events
        return self.before[first], self.before[end]

    def first(self, first: Ints, end: Ints) -> tuple[Ints, Floats]:
        return self._points(first, end, first)

    def last(self, first: Ints, end: Ints) -> tuple[Ints, Floats]:
        return self._points(first, end, end - 1)

    def latest(self, width: int, first: Ints, end: Ints) -> Floats:
        """(m, width) newest first."""
        found = np.full((len(first), width), np.nan)
        for back in range(width):
            some = np.flatnonzero(end - back > first)
            found[some, back] = self._values_at(end[some] - 1 - back)
        return found

    def _points(self, first: Ints, end: Ints, place: Ints) -> tuple[Ints, Floats]:
        """(m) instants and values at `place`, NaN where the stretch is empty."""
        at, values = np.zeros(len(first), dtype=np.int64), np.full(len(first), np.nan)
        some = np.flatnonzero(end > first)
        at[some] = self.at[self.row[place[some]]]
        values[some] = self._values_at(place[some])
        return at, values

    def _values_at(self, places: Ints) -> Floats:
        return np.ones(len(places)) if self.values is None else self.values[places]


def gather(
    aggregates: Sequence[Aggregate], column: Column, windows: Mapping[Span, Stretch]
) -> dict[Span, Statistics]:
    """For each span what `aggregates` of one slot need of its windows.

    windows: stretches of the n events that `column` is made of
    """
    stretches = {
        span: column.stretch(windows[span]) for span in dict.fromkeys(a.span for a in aggregates)
    }
    found = {span: Statistics(n=end - first) for span, (first, end) in stretches.items()}

    def fill(need: str, fields: Sequence[str], build: Callable[[], Callable[..., Any]]) -> None:
        """Built once for all spans, and let go before the next is built: it may be large."""
        takers = dict.fromkeys(a.span for a in aggregates if need in a.function.kind.needs)
        if not takers:
            return
        between = build()
        for span in takers:
            values = between(*stretches[span])
            for field, value in zip(fields, values if len(fields) > 1 else [values], strict=True):
                setattr(found[span], field, value)

    values: Any = column.values
    width = max(each.function.width for each in aggregates)
    fill("sum", ["total"], lambda: Totals(values, split).between)
    fill("squares", ["squares"], lambda: Totals(values, split_squares).between)
    fill("min", ["low"], lambda: Smallest(values).between)
    fill("max", ["high"], lambda: _largest(values))
    fill("first", ["first"], lambda: column.first)
    fill("last", ["last"], lambda: column.last)
    fill("latest", ["latest"], lambda: partial(column.latest, width))
    fill("distinct", ["kept", "largest"], lambda: Distinct(values).between)
    return found


def _largest(values: Floats) -> Callable[[Ints, Ints], Floats]:
    smallest = Smallest(-values)
    return lambda first, end: -smallest.between(first, end)
