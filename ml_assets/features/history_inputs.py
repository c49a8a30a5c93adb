"""The events and labels that a stretch of daily histories needs, read from the lake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml_assets.core.errors import NotReady
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.features.manifest import View
from ml_assets.ingest.lake import INSTANT, Lake

LABELS = pa.schema([("event_id", pa.string()), ("event_timestamp", INSTANT),
                    ("known_at", INSTANT), ("label", pa.bool_())])

AHEAD = DAY
"""How far a client's clock may run ahead; an event dated later than that is not remembered."""


@dataclass(frozen=True, kw_only=True)
class HistoryInputs:
    """What `daily_history.changes` takes: events with all entity keys, and labels."""

    events: pa.Table
    labels: pa.Table


def read_inputs(
    lake: Lake, system: System, views: Sequence[View], first: date, last: date
) -> HistoryInputs:
    """All that the ends of the days from `first` to `last` (inclusive), and of the day before
    `first`, can see in any window of `views`.

    An event is known from the end of the day on which it was received (its partition), so a
    history that is built again later sees no more than it did the first time.
    Raises NotReady where events or labels of `last` have not been ingested.
    """
    for table in ("events", "labels"):
        if not lake.partition(system.name, table, last).exists():
            raise NotReady(f"{system.name}/{table} of {last} is not in the lake; "
                           f"materialise {system.name}/{table} of that day first")
    longest = {"events": timedelta(0), "labels": timedelta(0)}
    for aggregate in (each for view in views for each in view.aggregates):
        longest[aggregate.over] = max(longest[aggregate.over], aggregate.window)
    labels = _labels(lake, system, first - longest["labels"] - DAY, last)
    since = midnight(first) - longest["events"]
    if len(labels):
        since = min(since, pc.min(labels["event_timestamp"]).as_py())
    return HistoryInputs(events=_events(lake, system, since, last), labels=labels)


def all_inputs(lake: Lake, system: System, last: date) -> HistoryInputs:
    """Every event and label received up to the day `last` (inclusive)."""
    return HistoryInputs(
        events=_events(lake, system, None, last), labels=_labels(lake, system, date.min, last)
    )


def _labels(lake: Lake, system: System, first: date, last: date) -> pa.Table:
    parts = [LABELS.empty_table()]
    for day in lake.days(system.name, "labels"):
        if first <= day <= last:
            path = lake.partition(system.name, "labels", day)
            parts.append(_read(path, LABELS))
    return pa.concat_tables(parts)


def _events(lake: Lake, system: System, since: datetime | None, last: date) -> pa.Table:
    schema = pa.schema([("event_id", pa.string()), ("event_timestamp", INSTANT),
                        *((key, pa.string()) for key in system.keys)])
    parts = [schema.append(pa.field("known_from", INSTANT)).empty_table()]
    first = date.min if since is None else since.date() - AHEAD
    for day in lake.days(system.name, "events"):
        if first <= day <= last:
            rows = _read(lake.partition(system.name, "events", day), schema)
            known_from = pa.scalar(midnight(day) + DAY, INSTANT)
            too_late = pa.scalar(midnight(day) + DAY + AHEAD, INSTANT)
            rows = rows.filter(pc.less(rows["event_timestamp"], too_late))
            parts.append(rows.append_column("known_from", pa.repeat(known_from, len(rows))))
    return pa.concat_tables(parts)


def _read(path: Path, schema: pa.Schema) -> pa.Table:
    """Some columns of one small file; `pq.read_table` takes three times as long."""
    with pq.ParquetFile(path) as file:
        return file.read(columns=schema.names, use_threads=False).cast(schema)
