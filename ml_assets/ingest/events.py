"""From raw requests to events: parsed, checked, and what cannot be used set aside."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date

import pandas as pd

from ml_assets.core.errors import Quarantined
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.system import System
from ml_assets.ingest.contracts import breaches
from ml_assets.ingest.event_log import Prediction
from ml_assets.ingest.posted import read_json
from ml_assets.ingest.tables import QUARANTINE, RAW, events_schema


@dataclass(frozen=True, kw_only=True)
class ParsedDay:
    """events: the usable rows, `tables.events_schema`; quarantine: the others, with reasons."""

    events: pd.DataFrame
    quarantine: pd.DataFrame


def raw_from_archive(history: list[ArchivedEvent]) -> pd.DataFrame:
    """Recorded history as rows of `tables.RAW`; the system "received" it as it happened."""
    rows = [
        (event.event_id, event.event_timestamp, event.event_timestamp,
         json.dumps(event.request), event.outcome)
        for event in history
    ]
    return pd.DataFrame(rows, columns=RAW.names)


def raw_from_log(predictions: list[Prediction]) -> pd.DataFrame:
    """What the API accepted as rows of `tables.RAW`; its outcome is not known yet."""
    rows = [
        (p.event_id, p.event_timestamp, p.accepted_at, p.request, None) for p in predictions
    ]
    return pd.DataFrame(rows, columns=RAW.names)


def split_by_day(raw: pd.DataFrame, days: list[date]) -> dict[date, pd.DataFrame]:
    """The rows of each day, by the day on which the system received them."""
    received = raw["accepted_at"].dt.date if len(raw) else pd.Series([], dtype=object)
    return {day: raw[received == day] for day in days}


def parse_raw(system: System, raw: pd.DataFrame) -> ParsedDay:
    """Parse every raw row; set aside what cannot be parsed or breaks the contract."""
    names = events_schema(system).names
    parsed, aside = [], []
    columns = (raw["event_id"], raw["event_timestamp"], raw["accepted_at"], raw["request"])
    for event_id, happened, accepted, request in zip(*columns, strict=True):
        try:
            event = system.source.parse(read_json(request))
        except Quarantined as error:
            aside.append((event_id, happened, str(error), request))
            continue
        parsed.append({**event, "event_id": event_id, "event_timestamp": happened,
                       "accepted_at": accepted})
    events = pd.DataFrame(parsed, columns=names)
    broken = breaches(system, events)
    requests = dict(zip(raw["event_id"], raw["request"], strict=True))
    for position, reason in broken.items():
        event_id, happened = events.loc[position, ["event_id", "event_timestamp"]]
        aside.append((event_id, happened, reason, requests[event_id]))
    return ParsedDay(
        events=events.drop(index=list(broken)).reset_index(drop=True),
        quarantine=pd.DataFrame(aside, columns=QUARANTINE.names),
    )
