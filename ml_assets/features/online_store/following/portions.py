"""Loads of a windowed view that take positions of the event log, some rows at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml_assets.features.engine.columns import instants
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import Row
from ml_assets.features.online_store.counting import event_rows
from ml_assets.features.online_store.following.lake_stream import filed_by

AT_ONCE = 500
"""Rows that take one position: they are applied in one transaction, for which others wait."""


class Portion(NamedTuple):
    """Some rows of a view, filed in `[since, until)`, in microseconds since 1970 UTC.

    event_ids: of the rows, in any order
    """

    rows: list[Row]
    event_ids: list[object]
    since: int
    until: int


def portions(view: WindowedView, table: pa.Table) -> Iterator[Portion]:
    """The rows of `table`, as for `counting.apply_rows`, in the order in which they were filed."""
    filed = filed_by(view)
    table = table.filter(pc.is_valid(table[filed])).sort_by(filed)
    at = instants(table[filed], filed, f"feature view {view.name!r}")
    start = 0
    while start < len(at):
        # All rows of an instant together: a position is known by the instants that it covers.
        end = int(np.searchsorted(at, at[min(start + AT_ONCE, len(at)) - 1], side="right"))
        some = table.slice(start, end - start)
        yield Portion(event_rows(view, some), some[view.event_id].to_pylist(), int(at[start]),
                      int(at[end - 1]) + 1)
        start = end


def covering(some: Iterable[Portion], since: int, until: int) -> Iterator[Portion]:
    """The portions of all that was filed in `[since, until)`, without a gap between them.

    One without rows if there are none: then it is known that there are none.
    """
    last = None
    for each in some:
        if last is not None:
            yield last
        last = each._replace(since=min(since, each.since))
        since = each.until
    last = last or Portion([], [], since, until)
    yield last._replace(until=max(until, last.until))
