"""From raw requests to events: parsed, checked, and what cannot be used set aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import cast

import pandas as pd

from ml_assets.core.errors import Quarantined
from ml_assets.core.runtime.isolation import Fault, attempt
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.system import System
from ml_assets.core.time import EARLIEST
from ml_assets.ingest.archive import records
from ml_assets.ingest.contracts import breaches, row_breach
from ml_assets.ingest.log.event_log import Prediction
from ml_assets.ingest.posted import read_json
from ml_assets.ingest.tables import LOG_SEQ, QUARANTINE, RECORD_COLUMNS, events_schema


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """events: the usable rows, `tables.events_schema`; quarantine: the others, with reasons."""

    events: pd.DataFrame
    quarantine: pd.DataFrame

    @property
    def share_quarantined(self) -> float:
        return len(self.quarantine) / max(1, len(self.quarantine) + len(self.events))

    def reasons(self, count: int) -> dict[str, int]:
        """The most frequent reasons to set a record aside, each with how often it was one."""
        return dict(Counter(self.quarantine["reason"]).most_common(count))


def raw_from_archive(
    system: System, history: Iterable[ArchivedEvent], *, since: datetime = EARLIEST,
    until: datetime | None = None,
) -> pd.DataFrame:
    """Recorded history before `until` as `tables.records_schema`; received as it happened.

    since: when a record is filed that says of no instant and has no usable record before it
    """
    rows = [
        (each.event_id, each.at, each.at, each.request, each.outcome, each.known_at, None,
         each.problem)
        for each in records(system, history, since=since) if until is None or each.at < until
    ]
    return pd.DataFrame(rows, columns=RECORD_COLUMNS)


def raw_from_log(predictions: list[Prediction]) -> pd.DataFrame:
    """What the API accepted as `tables.records_schema`; its outcome is not known yet."""
    rows = [
        (p.event_id, p.event_timestamp, p.accepted_at, p.request, None, None, p.seq, None)
        for p in predictions
    ]
    return pd.DataFrame(rows, columns=RECORD_COLUMNS)


def split_by_day(raw: pd.DataFrame, days: list[date]) -> dict[date, pd.DataFrame]:
    """The rows of each day, by the day on which the system received them."""
    received = raw["accepted_at"].dt.date if len(raw) else pd.Series([], dtype=object)
    return {day: raw[received == day] for day in days}


def parse_raw(system: System, raw: pd.DataFrame) -> Parsed:
    """Parse every raw row; set aside what cannot be parsed or breaks the contract.

    raw: rows of `tables.records_schema`, or of `tables.raw_schema`

    Each row is set aside by itself, whatever its parser raises; both tables keep the order of
    `raw`.
    """
    parsed: list[dict[str, object]] = []
    indices: list[int] = []
    reasons: dict[int, str] = {}
    seen: set[str] = set()
    rows = cast(list[dict[str, object]], raw.to_dict("records"))
    for index, row in enumerate(rows):
        event = attempt(_event, system, row, seen)
        if isinstance(event, Fault):
            reasons[index] = event.reason
        else:
            parsed.append(event)
            indices.append(index)
    events = pd.DataFrame(parsed, columns=events_schema(system).names)
    broken = breaches(system, events)
    reasons |= {indices[position]: reason for position, reason in broken.items()}
    aside = [
        (rows[index]["event_id"], rows[index]["event_timestamp"], reasons[index],
         rows[index]["request"])
        for index in sorted(reasons)
    ]
    return Parsed(
        events=events.drop(index=list(broken)).reset_index(drop=True).infer_objects(),
        quarantine=pd.DataFrame(aside, columns=QUARANTINE.names),
    )


def _event(system: System, row: Mapping[str, object], seen: set[str]) -> dict[str, object]:
    """A raw record's row of `tables.events_schema`. Raises Quarantined, or as the parser does.

    seen: the ids of the events before it
    """
    problem = row.get("problem")
    if isinstance(problem, str):
        raise Quarantined(problem)
    event = {**system.source.parse(read_json(str(row["request"]))), "event_id": row["event_id"],
             "event_timestamp": row["event_timestamp"], "accepted_at": row["accepted_at"],
             LOG_SEQ: row.get(LOG_SEQ)}
    breach = row_breach(system, event, seen)
    if breach is not None:
        raise Quarantined(breach)
    return event
