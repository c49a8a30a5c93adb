"""Which rows of the lake made the features of one event, and which features a row made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import pandas as pd
import pyarrow as pa

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.texts import key_text
from ml_assets.features.engine.windows import WindowedView, tail
from ml_assets.features.manifest import load_manifest
from ml_assets.ingest.lake import INSTANT, Lake
from ml_assets.ingest.log.served import from_us, to_us
from ml_assets.ingest.tables import key_fields

Table = Literal["events", "labels"]

AHEAD = 2
"""Days of reception, from that of an instant on, in which events of before it may lie that had
arrived by then: its own, and one more where a clock was ahead."""


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
    """What a view looked at for one entity at one instant.

    key: its columns and values; known_by: only what the system had received before counts
    """

    view: str
    table: Table
    key: Mapping[str, str]
    start: datetime
    end: datetime
    known_by: datetime


def looks_of(settings: Settings, system: System) -> list[Look]:
    """What the views of the system's feature service look at."""
    tables: dict[str, Table] = {"events": "events", "labels": "labels"}
    return [
        Look(view=view.name, table=tables[view.table], keys=view.keys, span=_span(view.windowed))
        for view in load_manifest(settings).service(system).views
    ]


def stretches_at(
    looks: Sequence[Look], keys: Mapping[str, object], as_of: datetime, *, known_by: datetime
) -> list[Stretch]:
    """What they look at for an event with these `keys` whose features are as of `as_of`.

    keys: at least the event's entity columns; an empty one has no history
    known_by: when the event itself was accepted
    """
    found = []
    for look in looks:
        key = {name: key_text(keys[name]) for name in look.keys}
        if all(key.values()):
            start, end = look.span(as_of)
            found.append(Stretch(view=look.view, table=look.table, key=key, start=start, end=end,
                                 known_by=known_by))
    return found


def _span(view: WindowedView) -> Callable[[datetime], tuple[datetime, datetime]]:
    def span(at: datetime) -> tuple[datetime, datetime]:
        as_of = view.as_of(to_us(at))
        return from_us(min(tail(as_of, each) for each in view.spans)), from_us(as_of)

    return span


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

    A row that several views count is there for each. An event counts only where the system had
    received it before; a label reaches the store after the day on which it became known.
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
    received: datetime, known_at: Sequence[datetime],
) -> list[str]:
    """The views that count an event, or a label of it, in these stretches, each once.

    event: at least the entity columns; received: when the system accepted it; known_at: when
    its labels became known. The reverse of `contributing_rows`.
    """
    views = [
        stretch.view for stretch in stretches
        if all(key_text(event[name]) == value for name, value in stretch.key.items())
        and (stretch.table == "labels" or received < stretch.known_by)
        and any(stretch.start <= instant < stretch.end
                for instant in ([happened] if stretch.table == "events" else known_at))
    ]
    return list(dict.fromkeys(views))


def _inside(stretch: Stretch, rows: pd.DataFrame) -> Iterator[Row]:
    at = rows["event_timestamp" if stretch.table == "events" else "known_at"]
    chosen = (at >= stretch.start) & (at < stretch.end) & (rows["received"] < stretch.known_by)
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
                        ("accepted_at", INSTANT), *key_fields(system.columns, system.keys)])
    rows = lake.read(system.name, "events", schema, end=until.date() + timedelta(days=AHEAD))
    named = {key: rows[key].map(key_text, na_action=None) for key in system.keys}
    return rows.assign(**named).rename(columns={"accepted_at": "received"})


def _labels(lake: Lake, system: System, first: datetime, until: datetime) -> pd.DataFrame:
    schema = pa.schema([("event_id", pa.string()), ("event_timestamp", INSTANT),
                        ("known_at", INSTANT), ("label", pa.bool_())])
    rows = lake.read(system.name, "labels", schema, start=first.date(),
                     end=until.date() + timedelta(days=1))
    return rows.assign(received=rows["known_at"])
