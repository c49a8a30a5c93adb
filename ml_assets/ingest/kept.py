"""The rows of a table, filed by the day on which each became known."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby, islice, takewhile

import pandas as pd
import pyarrow as pa

from ml_assets.core.data.tables import Table
from ml_assets.core.errors import Quarantined
from ml_assets.core.runtime.isolation import Fault, attempt
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.texts import storable
from ml_assets.core.time import DAY, declared_instant, midnight
from ml_assets.ingest.contracts.values import taken
from ml_assets.ingest.daily import PART, SHOWN, StoredEvents
from ml_assets.ingest.lake import Lake, frame_of
from ml_assets.ingest.sources.cells import SourceClock, clock, posted
from ml_assets.ingest.sources.in_order import rows_between
from ml_assets.ingest.sources.ordering import OrderedRow, Ordering
from ml_assets.ingest.sources.origins import ORIGIN
from ml_assets.ingest.tables import QUARANTINE, table_schema

LONGEST_RECORD = 10_000
"""Characters that are kept of a row that cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Filed:
    """One row of a table, when it became known, and what it holds; or why it cannot be used."""

    known_at: datetime
    row: OrderedRow
    values: dict[str, object] | Fault


def store_table(
    system: System, settings: Settings, table: Table, days: Sequence[date]
) -> StoredEvents:
    """Store the rows of a table that became known on each day.

    What was known before the system's first day is filed under that day.
    days: consecutive, in order

    All rows are read, some at a time, and sorted; what does not fit into memory goes to a
    temporary folder. Files that have not changed since then are not read again. Raises FetchError,
    or DeclarationError for instants without a zone.
    """
    lake, schema = Lake(settings.lake), table_schema(table)
    reasons, first, usable = Counter[str](), schema.empty_table(), 0
    rows = filed_rows(system, settings, table, days[0], days[-1] + DAY)
    by_day = groupby(rows, key=lambda each: _day(system, each.known_at))
    waiting = next(by_day, None)
    for day in days:
        found: Iterator[Filed] = iter(())
        if waiting is not None and waiting[0] == day:
            found = waiting[1]
        with ExitStack() as stack:
            keep = stack.enter_context(lake.replacing(system.name, table.name, day, schema))
            aside = stack.enter_context(
                lake.replacing(system.name, table.quarantine, day, QUARANTINE))
            while some := list(islice(found, PART)):
                part, refused = _split(some, schema)
                keep(part)
                aside(refused)
                usable += len(part)
                reasons.update(refused["reason"])
                first = pa.concat_tables([first, part]).slice(0, SHOWN)
        if waiting is not None and waiting[0] == day:
            waiting = next(by_day, None)
    return StoredEvents(usable=usable, aside=reasons.total(), broken=[],
                        reasons=dict(reasons.most_common(5)), first=frame_of(first))


def filed_rows(
    system: System, settings: Settings, table: Table, first: date, end: date
) -> Iterator[Filed]:
    """The rows that are filed under the days in `[first, end)`, in the order of those."""
    named = table.known_at or table.timestamp
    ordering = Ordering(
        timestamp=named, known_at=table.timestamp if table.known_at else None,
        carried=tuple(column.name for column in table.columns),
        clock=clock(table.zone, table.layout),
    )
    since, until = midnight(system.calendar.first_day), midnight(end)
    rows = rows_between(
        table, ordering, table.rows.fetch(settings.cache),
        settings.cache / "in_order" / f"{system.name}-{table.name}",
        midnight(first) if first > system.calendar.first_day else None, until)
    read_by = clock(table.zone, table.layout)

    def dated() -> Iterator[tuple[datetime, OrderedRow]]:
        """A row without an instant is filed under that of the row before it."""
        known_at = since
        for row in rows:
            known_at = row.at if row.at is not None else known_at
            yield known_at, row

    for known_at, row in takewhile(lambda each: each[0] < until, dated()):
        if _day(system, known_at) >= first:
            yield Filed(known_at=known_at, row=row,
                        values=attempt(_values, table, row, read_by))


def _values(table: Table, row: OrderedRow, read_by: SourceClock) -> dict[str, object]:
    """The row as `tables.table_schema` has it. Raises Quarantined."""
    if row.problem is not None:
        raise Quarantined(row.problem)
    known_at = row.at
    happened = row.known_at if table.known_at else row.at
    for name, instant in ((table.timestamp, happened), (table.known_at, known_at)):
        if name is not None and instant is None:
            raise Quarantined(f"{name} is missing; expected an instant")
    keys = frozenset(table.keys)
    return {
        "event_timestamp": declared_instant(happened), "known_at": declared_instant(known_at),
        **{column.name: taken(column, posted(column, cell, read_by), is_key=column.name in keys)
           for column, cell in zip(table.columns, row.cells, strict=True)},
        ORIGIN: row.origin,
    }


def _split(some: Sequence[Filed], schema: pa.Schema) -> tuple[pa.Table, pd.DataFrame]:
    usable = [each.values for each in some if not isinstance(each.values, Fault)]
    aside = [
        (each.row.origin, each.known_at, each.values.reason,
         storable(json.dumps(list(each.row.cells), default=str), LONGEST_RECORD))
        for each in some if isinstance(each.values, Fault)
    ]
    return (pa.Table.from_pylist(usable, schema=schema),
            pd.DataFrame(aside, columns=QUARANTINE.names))


def _day(system: System, known_at: datetime) -> date:
    return max(known_at.date(), system.calendar.first_day)
