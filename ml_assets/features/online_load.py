"""Loading the online store: each view's rows of a day, and whatever earlier day is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pandas as pd
import pyarrow.parquet as pq

from ml_assets.core.errors import NotReady
from ml_assets.core.settings import Settings
from ml_assets.core.time import DAY, midnight
from ml_assets.features.daily_history import history_schema
from ml_assets.features.manifest import View
from ml_assets.features.store import load_log, locked, open_store
from ml_assets.ingest.lake import Lake


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """rows: how many entities were written; until: the instant whose state the view now holds."""

    rows: int
    until: datetime


def load_view(settings: Settings, view: View, days: Sequence[date]) -> Loaded:
    """Bring `view` in the online store to the end of the last of `days`, at least.

    Days not loaded yet come along, so that the store always holds one instant whole. A day
    that was loaded before is written again as of the newest loaded day: harmless, and right
    where its history has been built anew. Raises NotReady where a day lacks its history.
    """
    store, clock, log = open_store(settings), settings.clock, load_log(settings)
    try:
        with locked(settings):
            before = log.until(view)
            stretch = _stretch(Lake(settings.lake), view, days, before)
            until = midnight(stretch[-1]) + DAY
            rows = _latest_rows(Lake(settings.lake), view, stretch)
            load_id = log.begin(view, until, clock.now())
            if len(rows):
                store.write_to_online_store(view.name, rows)
            # So that `feast materialize-incremental` goes on from here.
            store.registry.apply_materialization(
                store.get_feature_view(view.name), store.project, midnight(stretch[0]), until
            )
            log.finish(load_id, clock.now())
    finally:
        log.close()
    return Loaded(rows=len(rows), until=until)


def _latest_rows(lake: Lake, view: View, stretch: Sequence[date]) -> pd.DataFrame:
    """The last row of each entity that has one in these days."""
    schema = history_schema(view.key, view.aggregates)
    for day in stretch:
        found = pq.read_schema(lake.partition(view.system, view.table, day)).names
        if found != schema.names:
            raise NotReady(f"{view.system}/{view.table} of {day} has the columns {found}; "
                           f"{view.name} now declares {schema.names}: materialise it again")
    rows = lake.read(view.system, view.table, schema, start=stretch[0], end=stretch[-1] + DAY)
    return rows.drop_duplicates(view.key, keep="last")


def _stretch(lake: Lake, view: View, days: Sequence[date], before: datetime | None) -> list[date]:
    """The days to write, in order and without a gap."""
    there = lake.days(view.system, view.table)
    first, last = min(days), max(days)
    if before is not None:
        first, last = min(first, before.date()), max(last, before.date() - DAY)
    elif there:
        first = min(first, there[0])
    stretch = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    for day in stretch:
        if day not in there:
            raise NotReady(f"{view.system}/{view.table} of {day} is not in the lake; the online "
                           f"store is loaded in the order of days, so materialise it first")
    return stretch
