"""How many events there are."""

from __future__ import annotations

import numpy as np

from ml_assets.features.engine.exact import Floats, Ints
from ml_assets.features.engine.functions.base import (
    Between,
    EventList,
    Function,
    Record,
    RecordStatistic,
)
from ml_assets.features.engine.series import Array, Series


class EventCount(RecordStatistic):
    """The number of values that are there: (m) int64, or an int."""

    name, rank, form, dtype, empty = "n", 0, "q", np.dtype("<i8"), (0,)

    def over(self, series: Series) -> Between:
        return lambda first, end: end - first

    def merge(self, found: Ints, past: Array) -> Ints:
        merged: Ints = found + past
        return merged

    def scalar(
        self, events: EventList, begin: int, start: int, record: Record | None, item: int
    ) -> int:
        n = len(events.instants) - begin
        return n if record is None else n + record[item]


EVENTS = EventCount()


class Count(Function):
    name, meaning = "count", "events; with a column, those that have it"
    reads = "rows"
    needs = (EVENTS,)
    whole = True
    empty = 0.0

    def finish(self, as_of: Ints, n: Ints) -> Floats:
        return n.astype(np.float64)

    def finish_scalar(self, as_of: int, n: int) -> float:
        return float(n)
