"""Which rows of the lake made the features of one event, and which features a row made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

import pandas as pd
import pyarrow as pa

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import midnight
from ml_assets.features.manifest import load_manifest
from ml_assets.ingest.lake import INSTANT, Lake

Table = Literal["events", "labels"]


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a feature view looks at: the rows of a table with an entity's keys, in a window.

    keys: the event columns that name the entity
    span: from the instant of the features to the window `[start, end)`, over `event_timestamp`
        of events and `known_at` of labels; of several windows the longest
    """

    view: str
    table: Table
    keys: tuple[str, ...]
    span: Callable[[datetime], tuple[datetime, datetime]]


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """What a view looked at for one entity at one instant. key: its columns and values."""

    view: str
    table: Table
    key: Mapping[str, str]
    start: datetime
    end: datetime


def looks_of(settings: Settings, system: System) -> list[Look]:
    """What the views of the system's feature service look at."""
    looks = []
    for view in load_manifest(settings).service(system).views:
        tables: tuple[Table, Table] = ("events", "labels")
        for table in tables:
            windows = [each.window for each in view.aggregates if each.over == table]
            if windows:
                looks.append(Look(view=view.name, table=table, keys=(view.key,),
                                  span=_back(max(windows))))
    return looks


def stretches_at(
    looks: Sequence[Look], keys: Mapping[str, object], as_of: datetime
) -> list[Stretch]:
    """What they look at for an event with these `keys` whose features are as of `as_of`.

    keys: at least the event's entity columns; an empty one has no history
    """
    found = []
    for look in looks:
        key = {name: str(keys[name]) for name in look.keys}
        if all(key.values()):
            start, end = look.span(as_of)
            found.append(Stretch(view=look.view, table=look.table, key=key, start=start, end=end))
    return found


def _back(window: timedelta) -> Callable[[datetime], tuple[datetime, datetime]]:
    return lambda as_of: (as_of - window, as_of)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the lake that a view counted; `known_at` and `label` are None for an event."""

    view: str
    table: Table
    key: Mapping[str, str]
    event_id: str
    event_timestamp: datetime
    known_at: datetime | None
    label: bool | None


def contributing_rows(lake: Lake, system: System, stretches: Sequence[Stretch]) -> list[Row]:
    """The rows of the lake that lie in these stretches, in the order of time.

    A row that several views count is there for each. One counts only where the system had
    received it before the stretch's end: its partition tells the day.
    """
    if not stretches:
        return []
    first = min(stretch.start for stretch in stretches)
    until = max(stretch.end for stretch in stretches)
    events, labels = _events(lake, system, until), _labels(lake, system, first, until)
    whose = events.drop(columns=["event_timestamp", "received"]).drop_duplicates("event_id")
    tables = {"events": events, "labels": labels.merge(whose, on="event_id")}
    rows = [row for stretch in stretches for row in _inside(stretch, tables[stretch.table])]
    return sorted(rows, key=lambda row: (row.event_timestamp, row.event_id, row.view, row.table))


def counting_views(
    stretches: Sequence[Stretch], event: Mapping[str, object], *, happened: datetime,
    received: date, known_at: Sequence[datetime],
) -> list[str]:
    """The views that count an event, or a label of it, in these stretches, each once.

    event: at least the entity columns; received: the day of its partition; known_at: when its
    labels became known. The reverse of `contributing_rows`.
    """
    views = [
        stretch.view for stretch in stretches
        if all(str(event[name]) == value for name, value in stretch.key.items())
        and midnight(received) < stretch.end
        and any(stretch.start <= instant < stretch.end
                for instant in ([happened] if stretch.table == "events" else known_at))
    ]
    return list(dict.fromkeys(views))


def _inside(stretch: Stretch, rows: pd.DataFrame) -> Iterator[Row]:
    at = rows["event_timestamp" if stretch.table == "events" else "known_at"]
    chosen = (at >= stretch.start) & (at < stretch.end) & (rows["received"] < stretch.end)
    for name, value in stretch.key.items():
        chosen &= rows[name] == value
    for row in rows[chosen].to_dict("records"):
        is_label = stretch.table == "labels"
        yield Row(
            view=stretch.view, table=stretch.table, key=stretch.key, event_id=row["event_id"],
            event_timestamp=row["event_timestamp"].to_pydatetime(),
            known_at=row["known_at"].to_pydatetime() if is_label else None,
            label=bool(row["label"]) if is_label else None,
        )


def _events(lake: Lake, system: System, until: datetime) -> pd.DataFrame:
    schema = pa.schema([("event_id", pa.string()), ("event_timestamp", INSTANT),
                        *((key, pa.string()) for key in system.keys)])
    return _with_day(lake, system, "events", schema, None, until)


def _labels(lake: Lake, system: System, first: datetime, until: datetime) -> pd.DataFrame:
    schema = pa.schema([("event_id", pa.string()), ("event_timestamp", INSTANT),
                        ("known_at", INSTANT), ("label", pa.bool_())])
    return _with_day(lake, system, "labels", schema, first, until)


def _with_day(
    lake: Lake, system: System, table: str, schema: pa.Schema, first: datetime | None,
    until: datetime,
) -> pd.DataFrame:
    """The partitions that lie before `until`, with `received`, the start of each one's day."""
    parts = [
        lake.read(system.name, table, schema, start=day, end=day + timedelta(days=1)).assign(
            received=midnight(day))
        for day in lake.days(system.name, table)
        if (first is None or day >= first.date()) and midnight(day) < until
    ]
    if parts:
        return pd.concat(parts, ignore_index=True)
    nothing: pd.DataFrame = schema.empty_table().to_pandas().assign(received=until)
    return nothing
