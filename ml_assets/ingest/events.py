"""From raw requests to events: parsed, checked, and what cannot be used set aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa

from ml_assets.core.data.streams import Stream
from ml_assets.core.errors import Quarantined
from ml_assets.core.runtime.isolation import Fault, attempt
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.system import System
from ml_assets.core.time import EARLIEST
from ml_assets.ingest.archive import records
from ml_assets.ingest.contracts.at_once import taken_at_once
from ml_assets.ingest.contracts.rows import Contract
from ml_assets.ingest.lake import INSTANT, frame_of
from ml_assets.ingest.log.event_log import Prediction
from ml_assets.ingest.log.told import ToldEvent
from ml_assets.ingest.posted import read_json
from ml_assets.ingest.tables import LOG_SEQ, QUARANTINE, RECORD_COLUMNS, stream_schema


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """rows: the usable ones, `tables.stream_schema`; quarantine: the others, with reasons."""

    rows: pa.Table
    quarantine: pd.DataFrame

    @property
    def events(self) -> pd.DataFrame:
        """`rows` for pandas."""
        return frame_of(self.rows)

    def reasons(self, count: int) -> dict[str, int]:
        """The most frequent reasons to set a record aside, each with how often it was one."""
        return dict(Counter(self.quarantine["reason"]).most_common(count))


READ = pa.schema([
    ("event_id", pa.string()), ("event_timestamp", INSTANT), ("accepted_at", INSTANT),
    ("request", pa.string()), (LOG_SEQ, pa.int64()), ("problem", pa.string()),
])
"""What an event is made of, of `tables.raw_schema`."""
STAMPS = ("event_id", "event_timestamp", "accepted_at", LOG_SEQ)
"""What is not in a request."""
AT_ONCE = 10_000
"""Rows that are parsed together."""

Raw = tuple[object, ...]
"""A row of `tables.raw_schema`."""


def archived_rows(
    system: System, history: Iterable[ArchivedEvent], *, since: datetime = EARLIEST,
    until: datetime | None = None,
) -> Iterator[Raw]:
    """Recorded history before `until` as rows of `tables.raw_schema`; received as it happened.

    since: when a record is filed that says of no instant and has no usable record before it
    """
    return (
        (each.event_id, each.at, each.at, each.request, each.outcome, each.known_at, None,
         each.problem)
        for each in records(system, history, since=since) if until is None or each.at < until
    )


def logged_rows(accepted: Iterable[Prediction | ToldEvent]) -> Iterator[Raw]:
    """What the API accepted as rows of `tables.raw_schema`; its outcome is not known yet."""
    return (
        (each.event_id, each.event_timestamp, each.accepted_at, each.request, None, None,
         each.seq, None)
        for each in accepted
    )


def raw_from_archive(system: System, history: Iterable[ArchivedEvent]) -> pd.DataFrame:
    """A few records of an archive, as a table."""
    return frame(archived_rows(system, history))


def raw_from_log(predictions: Iterable[Prediction]) -> pd.DataFrame:
    """A few predictions' requests, as a table."""
    return frame(logged_rows(predictions))


def frame(rows: Iterable[Raw]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=RECORD_COLUMNS)


def table_of(rows: Sequence[Raw], schema: pa.Schema) -> pa.Table:
    """Rows of `tables.raw_schema`, which is `schema`."""
    columns = dict(zip(RECORD_COLUMNS, zip(*rows, strict=True), strict=True)) if rows else {}
    return pa.table([pa.array(columns.get(field.name, ()), field.type) for field in schema],
                    schema=schema)


def parse_raw(
    system: System, raw: pa.Table | pd.DataFrame, stream: Stream | None = None
) -> Parsed:
    """Parse every raw row; set aside what cannot be parsed or breaks the contract.

    raw: rows of `tables.raw_schema`
    stream: the one that they are of, unless it is the one that predictions are made for

    Each row is set aside by itself, whatever its parser raises; both tables keep the order of
    `raw`.
    """
    stream = stream or system.asked
    contract, schema = Contract.of(system, stream), stream_schema(stream)
    if isinstance(raw, pd.DataFrame):
        raw = pa.Table.from_pandas(raw.reindex(columns=READ.names), READ, preserve_index=False)
    parts, aside, seen = [schema.empty_table()], list[tuple[object, ...]](), set[str]()
    for start in range(0, len(raw), AT_ONCE):
        part = raw.slice(start, AT_ONCE)
        rows, faults = _taken_of(stream, contract, schema, part, seen)
        parts.append(rows)
        aside += [(*(part[name][index].as_py() for name in STAMPS[:2]), faults[index],
                   part["request"][index].as_py()) for index in sorted(faults)]
    return Parsed(
        rows=pa.concat_tables(parts), quarantine=pd.DataFrame(aside, columns=QUARANTINE.names))


def _taken_of(
    stream: Stream, contract: Contract, schema: pa.Schema, part: pa.Table, seen: set[str]
) -> tuple[pa.Table, dict[int, str]]:
    """The usable rows, and of each other one, by its place, why it is none.

    seen: the ids of the events before them
    """
    faults, events, sound = dict[int, str](), list[Mapping[str, object]](), list[int]()
    texts = zip(part["request"].to_pylist(), part["problem"].to_pylist(), strict=True)
    for index, (request, problem) in enumerate(texts):
        event = attempt(_event, stream, request, problem)
        if isinstance(event, Fault):
            faults[index] = event.reason
        else:
            events.append(event)
            sound.append(index)
    stamps = part.select(STAMPS)
    stamps = stamps.take(pa.array(sound, pa.int64())) if faults else stamps
    rows = taken_at_once(contract, stamps, events, schema, seen)
    if rows is not None:
        return rows, faults
    kept = []
    for index, event, stamp in zip(sound, events, _stamps(stamps), strict=True):
        row = attempt(contract.row, {**event, **stamp}, seen)
        if isinstance(row, Fault):
            faults[index] = row.reason
        else:
            kept.append({name: row[name] for name in schema.names})
    # A value that keeps the contract fits its column.
    return pa.Table.from_pylist(kept, schema=schema), faults


def _event(stream: Stream, request: str, problem: str | None) -> Mapping[str, object]:
    """The columns of the event in `request`. Raises Quarantined, or as the parser does."""
    if problem is not None:
        raise Quarantined(problem)
    parsed = stream.source.parse(read_json(request))
    return parsed if type(parsed) is dict else {**parsed}


def _stamps(stamps: pa.Table) -> Iterator[dict[str, object]]:
    """Row by row, with instants as Python has them."""
    columns = [
        [at if at is None else at.astimezone(UTC) for at in values.to_pylist()]
        if values.type == INSTANT else values.to_pylist() for values in stamps.columns
    ]
    return (dict(zip(STAMPS, row, strict=True)) for row in zip(*columns, strict=True))
