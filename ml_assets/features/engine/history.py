"""The offline engine: windowed aggregates of many entities and instants from their events.

The events are put in order of entity and time (`timeline.py`), where a window is a stretch of
places; what a stretch holds, a function's statistics take from running totals and tables of
runs, so that the cost of a window does not grow with the events in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from ml_assets.features.engine.events import Events
from ml_assets.features.engine.exact import Floats, Ints
from ml_assets.features.engine.functions.base import Statistic
from ml_assets.features.engine.limits import require_summable
from ml_assets.features.engine.series import Series, Stretch
from ml_assets.features.engine.timeline import Timeline, arrange, number
from ml_assets.features.engine.windows import Slot, WindowedView, tail

Span: TypeAlias = tuple[int, int]

ROWS = 1 << 20
"""Rows of the spine that are answered at a time, from those events that they can see."""


def aggregate(
    view: WindowedView, events: Events, *, entity: Ints, as_of: Ints, head: Ints | None = None
) -> Floats:
    """Every feature of m rows of a spine: (m, len(view.columns)) float64, NaN where none.

    events: in any order; of those of one entity with the same uid the first in order counts
    entity: (m) whose features, in the numbering of `events`; negative: nobody's, all NaN
    as_of:  (m) instants that `view.as_of` has mapped, microseconds since 1970 UTC
    head:   (m) events count only before it, while windows still end at `as_of`

    A window at t with a span is `[tail(t, span), min(t, head))`. An entity without events has
    the values of an empty window. Raises ContractViolation for a value that is too large to
    be summed exactly.
    """
    features = np.full((len(as_of), len(view.columns)), np.nan)
    asked = np.flatnonzero(entity >= 0)
    if not len(asked):
        return features
    theirs, whose = number(events.entity, entity[asked])
    until = as_of[asked] if head is None else np.minimum(as_of, head)[asked]
    since = min(int(tail(as_of[asked].min(), span)) for span in view.spans)
    line = arrange(
        events, theirs, since=since, until=int(until.max()),
        by_uid=any(each.function.ordered for each in view.aggregates),
    )
    del theirs
    ends = line.before(whose, until)
    # Neighbours look at neighbouring events.
    order = np.argsort(ends)
    for start in range(0, len(order), ROWS):
        some = order[start : start + ROWS]
        _answer(view, events, line, features, asked[some], whose[some], as_of, ends[some])
    return features


def _answer(
    view: WindowedView, events: Events, line: Timeline, features: Floats, rows: Ints,
    whose: Ints, as_of: Ints, ends: Ints,
) -> None:
    """Fill in `rows` of `features`; their windows end before the places `ends`."""
    as_of = as_of[rows]
    windows: dict[Span, Stretch] = {}
    for span in view.spans:
        windows[span] = np.minimum(line.before(whose, tail(as_of, span)), ends), ends
    low = min(int(first.min()) for first, _ in windows.values())
    seen = line.row[low : ends.max()]
    windows = {span: (first - low, end - low) for span, (first, end) in windows.items()}
    for slot in dict.fromkeys(each.slot for each in view.aggregates):
        found = _statistics(view, slot, _series(view, slot, events, seen), windows)
        place = 0
        for each in view.aggregates:
            width = each.function.width
            if each.slot == slot:
                needs = [found[need, each.span] for need in each.function.needs]
                with np.errstate(invalid="ignore", divide="ignore"):
                    values = each.function.finish(as_of, *needs)
                features[rows, place : place + width] = values.reshape(-1, width)
            place += width


def _series(view: WindowedView, slot: Slot, events: Events, row: Ints) -> Series:
    values = events.values[slot][row] if slot.column else None
    if values is not None and slot.form == "number":
        require_summable(view, slot, values)
    return Series.of(slot.form, values, row, events.at, None)


def _statistics(
    view: WindowedView, slot: Slot, series: Series, windows: Mapping[Span, Stretch]
) -> dict[tuple[Statistic, Span], Any]:
    """What the aggregates of a slot need of their windows."""
    spans: dict[Statistic, dict[Span, None]] = {}
    for each in view.aggregates:
        for need in each.function.needs if each.slot == slot else ():
            spans.setdefault(need, {})[each.span] = None
    stretches = {span: series.stretch(*stretch) for span, stretch in windows.items()}
    found = {}
    for need, its_spans in spans.items():
        # Prepared once for all spans, and let go before the next is: it may be large.
        between = need.over(series)
        for span in its_spans:
            found[need, span] = between(*stretches[span])
        del between
    return found
