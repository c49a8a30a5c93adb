"""What the event log has and the lake has not yet: the events and labels of a day that goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ml_assets.core.data.streams import Stream
from ml_assets.core.runtime.isolation import Fault, attempt
from ml_assets.core.system import System
from ml_assets.core.time import DAY, EARLIEST, midnight
from ml_assets.ingest.contracts.rows import read_event
from ml_assets.ingest.labels import label_id
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.served import Prediction, from_us
from ml_assets.ingest.log.told import LABELS, ToldEvent
from ml_assets.ingest.tables import tables_of


def unfiled(
    lake: Lake, log: EventLog, system: System, table: str, schema: pa.Schema, before: datetime
) -> pa.Table:
    """The rows that `table` will have of what was accepted, or became known, before an instant.

    schema: some columns of the table of a stream, or of the labels; any other table is filled by
    the lake's own assets alone, and has none here
    Events that no longer fit the declaration are left out. Raises LogUnavailable.
    """
    stream = next((each for each in system.streams if each.table == table), None)
    rows: Iterator[Mapping[str, object]] = iter(())
    if stream is not None:
        rows = _events(log, system, stream, before,
                       _filed(lake, system, stream.raw, "accepted_at", "event_id"))
    elif table == LABELS:
        rows = _labels(log, system, before, _filed(lake, system, LABELS, "known_at", "label_id"))
    return pa.Table.from_pylist(
        [{name: row.get(name) for name in schema.names} for row in rows], schema=schema)


class _Filed(NamedTuple):
    """What the lake has: all before `until`, and of that instant the rows with these `ids`."""

    until: datetime
    ids: frozenset[str]


def _filed(lake: Lake, system: System, table: str, at: str, named: str) -> _Filed:
    """Up to its latest row: a day may be filed while it goes on. One without rows is whole, unless
    it is the last.
    """
    days = lake.days(system.name, table)
    known = tables_of(system)[table]
    schema = pa.schema([known.field(at), known.field(named)])
    for day in reversed(days):
        rows = lake.read_table(system.name, table, schema, start=day, end=day + DAY)
        instants: list[datetime] = rows[at].drop_null().to_pylist()
        if instants:
            until = max(instants)
            latest = rows.filter(pc.equal(rows[at], pa.scalar(until, schema.field(at).type)))
            return _Filed(until, frozenset(latest[named].to_pylist()))
        if day != days[-1]:
            return _Filed(midnight(day + DAY), frozenset())
    return _Filed(midnight(days[-1]) if days else EARLIEST, frozenset())


def _events(
    log: EventLog, system: System, stream: Stream, before: datetime, filed: _Filed
) -> Iterator[Mapping[str, object]]:
    found: Iterator[Prediction | ToldEvent] = (
        log.predictions(system.name, filed.until, before) if stream.asked else
        log.told.between(system.name, stream.name, filed.until, before))
    for each in found:
        if each.event_id in filed.ids:
            continue
        event = attempt(read_event, system, each.request, stream)
        if not isinstance(event, Fault):
            yield {**event, "event_id": each.event_id, "event_timestamp": each.event_timestamp,
                   "accepted_at": each.accepted_at}


def _labels(
    log: EventLog, system: System, before: datetime, filed: _Filed
) -> Iterator[Mapping[str, object]]:
    """Those that feedback has settled: any other becomes known as its day is filed."""
    for told in log.told.between(system.name, LABELS, filed.until, before):
        said = json.loads(told.request)
        known_at = from_us(said["known_at"])
        event_id = said["label_id"].removesuffix(label_id("", known_at, said["label"]))
        event = log.answer_to(system.name, event_id)
        if said["label_id"] not in filed.ids and event is not None:
            yield {**said, "event_id": event_id, "event_timestamp": event.event_timestamp,
                   "known_at": known_at}
