"""From raw requests to events: parsed, checked, and what cannot be used set aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
import pyarrow as pa

from ml_assets.core.data.streams import Stream
from ml_assets.core.errors import Quarantined
from ml_assets.core.runtime.isolation import Fault, attempt
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.system import System
from ml_assets.core.time import EARLIEST
from ml_assets.ingest.archive import records
from ml_assets.ingest.contracts.rows import Contract
from ml_assets.ingest.contracts.values import is_missing
from ml_assets.ingest.lake import frame_of
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

    @property
    def share_quarantined(self) -> float:
        return len(self.quarantine) / max(1, len(self.quarantine) + len(self.rows))

    def reasons(self, count: int) -> dict[str, int]:
        """The most frequent reasons to set a record aside, each with how often it was one."""
        return dict(Counter(self.quarantine["reason"]).most_common(count))


READ = ("event_id", "event_timestamp", "accepted_at", "request", LOG_SEQ, "problem")
"""What an event is made of."""

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


def parse_raw(system: System, raw: pd.DataFrame, stream: Stream | None = None) -> Parsed:
    """Parse every raw row; set aside what cannot be parsed or breaks the contract.

    raw: rows of `tables.raw_schema`
    stream: the one that they are of, unless it is the one that predictions are made for

    Each row is set aside by itself, whatever its parser raises; both tables keep the order of
    `raw`.
    """
    stream = stream or system.asked
    contract, schema = Contract.of(system, stream), stream_schema(stream)
    parsed: list[dict[str, object]] = []
    aside: list[tuple[object, ...]] = []
    seen: set[str] = set()
    for row in _records(raw):
        event = attempt(_event, stream, contract, row, seen)
        if isinstance(event, Fault):
            aside.append((row["event_id"], row["event_timestamp"], event.reason, row["request"]))
        else:
            parsed.append(event)
    return Parsed(
        # A value that keeps the contract fits its column.
        rows=pa.Table.from_pylist(
            [{name: event[name] for name in schema.names} for event in parsed], schema=schema),
        quarantine=pd.DataFrame(aside, columns=QUARANTINE.names),
    )


def _records(raw: pd.DataFrame) -> Iterator[dict[str, object]]:
    """The rows of a table, without what making an event of one does not look at."""
    names = [name for name in READ if name in raw.columns]
    columns = [_plain(raw[name]) for name in names]
    return (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))


def _plain(values: pd.Series[Any]) -> Sequence[object]:
    """Instants as Python has them: pandas' own cost more in every step that follows."""
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        instants = pd.DatetimeIndex(values).to_pydatetime().tolist()
        return [at if at == at else None for at in instants]
    return values.tolist()


def _event(
    stream: Stream, contract: Contract, row: Mapping[str, object], seen: set[str]
) -> dict[str, object]:
    """A raw record's row of `tables.stream_schema`. Raises Quarantined, or as the parser does.

    seen: the ids of the events before it
    """
    problem, position = row.get("problem"), row.get(LOG_SEQ)
    if isinstance(problem, str):
        raise Quarantined(problem)
    return contract.row({
        **stream.source.parse(read_json(str(row["request"]))), "event_id": row["event_id"],
        "event_timestamp": row["event_timestamp"], "accepted_at": row["accepted_at"],
        LOG_SEQ: None if is_missing(position) else int(str(position)),
    }, seen)
