"""Which rows made the features of one event, and which features a row made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from operator import attrgetter

import pandas as pd
import pyarrow as pa

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.target import Label
from ml_assets.core.texts import key_text
from ml_assets.core.time import EARLIEST, FUTURE
from ml_assets.features.engine.windows import WindowedView, tail
from ml_assets.features.manifest import load_manifest
from ml_assets.ingest.lake import Lake, frame_of
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.served import from_us, to_us
from ml_assets.ingest.log.unfiled import unfiled
from ml_assets.ingest.sources.origins import ORIGIN
from ml_assets.ingest.tables import tables_of

LABELS = "labels"
"""The lake table of labels; any other one holds the events of a stream."""
AHEAD = 2
"""Days of reception, from that of an instant on, in which events of before it may lie that had
arrived by then: its own, and one more where a clock was ahead."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a feature view looks at: the rows of a table with an entity's keys, in a window.

    system: whose view it is; table: of its lake; keys: the event columns that name the entity
    span: from the instant of the features to the window `[start, end)`, over `event_timestamp`
        of events and of a table's rows and `known_at` of labels; of several windows the longest
    latest: whether only the latest row in it counts, as of a table
    """

    view: str
    system: System
    table: str
    keys: tuple[str, ...]
    span: Callable[[datetime], tuple[datetime, datetime]]
    latest: bool = False


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """What a view looked at for one entity at one instant.

    key: its columns and values; known_by: only what the system had received before counts
    """

    view: str
    system: System
    table: str
    key: Mapping[str, str]
    start: datetime
    end: datetime
    known_by: datetime
    latest: bool = False


def looks_of(settings: Settings, system: System) -> list[Look]:
    """What the views of the system's feature service look at."""
    manifest = load_manifest(settings)
    service, owners = manifest.service(system), manifest.owners(system)
    windowed = [Look(view=view.name, system=owners[view.system], table=view.table, keys=view.keys,
                     span=_span(view.windowed)) for view in service.views]
    kept = [Look(view=part.view.name, system=owners[part.view.system], table=part.view.table,
                 keys=part.view.keys, span=_held(part.view.plain.ttl), latest=True)
            for part in service.kept]
    return windowed + kept


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
            found.append(Stretch(view=look.view, system=look.system, table=look.table, key=key,
                                 start=start, end=end, known_by=known_by, latest=look.latest))
    return found


def _span(view: WindowedView) -> Callable[[datetime], tuple[datetime, datetime]]:
    def span(at: datetime) -> tuple[datetime, datetime]:
        as_of = view.as_of(to_us(at))
        return from_us(min(tail(as_of, each) for each in view.spans)), from_us(as_of)

    return span


def _held(ttl: int) -> Callable[[datetime], tuple[datetime, datetime]]:
    """Rows that hold at an instant: of it or before, for `ttl` microseconds, 0 for ever."""
    def span(at: datetime) -> tuple[datetime, datetime]:
        start = EARLIEST if ttl == 0 else from_us(to_us(at) - ttl)
        return start, at + timedelta(microseconds=1)

    return span


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the lake that a view counted, or of the log, as the lake will have it.

    event_id: of a table's row, where its source has it; known_at: None for an event; label: None
    but for a label
    """

    view: str
    table: str
    key: Mapping[str, str]
    event_id: str
    event_timestamp: datetime
    known_at: datetime | None
    label: Label | None


def contributing_rows(
    lake: Lake, stretches: Sequence[Stretch], log: EventLog | None = None
) -> list[Row]:
    """The rows that lie in these stretches, in the order of time.

    log: for what the lake has not taken in yet; without it these rows are not found

    A row that several views count is there for each. An event counts only where the system had
    received it before; a label reaches the store after the day on which it became known.
    """
    found: list[Row] = []
    place = attrgetter("system.name", "table")
    for (_, table), some in groupby(sorted(stretches, key=place), place):
        mine = list(some)
        rows = _read(lake, log, mine[0].system, table, list(dict.fromkeys(
            name for stretch in mine for name in stretch.key
        )), min(stretch.start for stretch in mine), max(stretch.end for stretch in mine),
            max(stretch.known_by for stretch in mine))
        found += [row for stretch in mine for row in _inside(stretch, rows)]
    return sorted(found, key=lambda row: (row.event_timestamp, row.event_id, row.view, row.table))


def counting_views(
    stretches: Sequence[Stretch], event: Mapping[str, object], *, happened: datetime,
    received: datetime, known_at: Sequence[datetime], table: str = "events",
) -> list[str]:
    """The views that count an event, or a label of it, in these stretches, each once.

    event: at least the entity columns; received: when the system accepted it; known_at: when
    its labels became known; table: where the lake has it. The reverse of `contributing_rows`.
    """
    views = [
        stretch.view for stretch in stretches
        if all(name in event and key_text(event[name]) == value
               for name, value in stretch.key.items())
        and (stretch.table == LABELS
             or (stretch.table == table and received < stretch.known_by))
        and any(stretch.start <= instant < stretch.end
                for instant in (known_at if stretch.table == LABELS else [happened]))
    ]
    return list(dict.fromkeys(views))


def _inside(stretch: Stretch, rows: pd.DataFrame) -> Iterator[Row]:
    is_label = stretch.table == LABELS
    at = rows["known_at" if is_label else "event_timestamp"]
    chosen = (at >= stretch.start) & (at < stretch.end) & (rows["received"] < stretch.known_by)
    for name, value in stretch.key.items():
        chosen &= rows[name] == value
    counted = rows[chosen]
    if stretch.latest:
        counted = counted.sort_values(["event_timestamp", "received"], kind="stable").tail(1)
    for row in counted.to_dict("records"):
        yield Row(
            view=stretch.view, table=stretch.table, key=stretch.key, event_id=row["event_id"],
            event_timestamp=row["event_timestamp"].to_pydatetime(),
            known_at=row["known_at"].to_pydatetime() if is_label or stretch.latest else None,
            label=row["label"] if is_label else None,
        )


def _read(
    lake: Lake, log: EventLog | None, system: System, table: str, keys: Sequence[str],
    first: datetime, until: datetime, known_by: datetime,
) -> pd.DataFrame:
    """The rows of a table in `[first, until)`, their keys as texts, with when each was `received`.
    """
    known = tables_of(system)[table]
    if table in {each.name for each in system.tables}:
        return _read_kept(lake, system, table, known, keys, until)
    columns = ["event_id", "event_timestamp", *keys]
    columns += ["known_at", "label"] if table == LABELS else ["accepted_at"]
    rows = frame_of(rows_until(
        lake, log, system, table, pa.schema([known.field(name) for name in columns]),
        # An event may have been received a moment before it happened, by its client's clock.
        (first - FUTURE).date(), until.date() + timedelta(days=AHEAD), known_by))
    named = {key: rows[key].map(key_text) for key in keys}
    received = rows["known_at" if table == LABELS else "accepted_at"]
    return rows.assign(**named, received=received)


def rows_until(
    lake: Lake, log: EventLog | None, system: System, table: str, schema: pa.Schema,
    start: date | None, end: date, known_by: datetime,
) -> pa.Table:
    """The rows of the lake's days `[start, end)`, and those that only the log has by `known_by`."""
    rows = lake.read_table(system.name, table, schema, start=start, end=end)
    return rows if log is None else pa.concat_tables(
        [rows, unfiled(lake, log, system, table, schema, known_by)])


def _read_kept(
    lake: Lake, system: System, table: str, schema: pa.Schema, keys: Sequence[str],
    until: datetime,
) -> pd.DataFrame:
    """All rows of a table that were known before the end of the day of `until`, named alike."""
    rows = lake.read(
        system.name, table,
        pa.schema([schema.field(name) for name in (ORIGIN, "event_timestamp", "known_at", *keys)]),
        end=until.date() + timedelta(days=1),
    )
    named = {key: rows[key].map(key_text) for key in keys}
    return rows.assign(**named, event_id=rows[ORIGIN], received=rows["known_at"])
