"""What a day's run stores of each day: what reached the system, its events, and its labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain

import pandas as pd
import pyarrow as pa

from ml_assets.core.data.streams import Stream
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, FUTURE, day_bounds, midnight
from ml_assets.ingest.contracts import Contract
from ml_assets.ingest.events import parse_raw, raw_from_archive, raw_from_log, split_by_day
from ml_assets.ingest.labels import labels_known_in, with_keys
from ml_assets.ingest.lake import Lake, frame_of
from ml_assets.ingest.log.event_log import EventLog, Feedback, Prediction
from ml_assets.ingest.tables import (
    QUARANTINE,
    RAW,
    events_schema,
    labels_schema,
    raw_schema,
    stream_schema,
)

PART = 10_000
"""Rows that are checked at a time."""
SHOWN = 5
"""Rows that an asset's page shows."""


def store_raw(
    system: System, settings: Settings, days: Sequence[date], stream: Stream | None = None
) -> pd.DataFrame:
    """Store what reached a stream on each day; the rows of all of them, as `tables.raw_schema`.

    stream: the one that predictions are made for, unless it is given
    days: consecutive, in order; those before the system goes live are read from the archive, the
    others from the event log
    """
    stream = stream or system.asked
    calendar, parts = system.calendar, []
    if days[0] < calendar.go_live:
        history = stream.source.archive(stream.source.fetch(settings.cache))
        parts.append(raw_from_archive(
            history, since=midnight(calendar.first_day), until=calendar.live_from))
    if days[-1] >= calendar.go_live:
        start = max(midnight(days[0]), calendar.live_from)
        end = midnight(days[-1]) + DAY
        with closing(EventLog(settings.event_log)) as log:
            parts.append(raw_from_log(list(
                log.predictions(system.name, start, end) if stream.asked else
                log.told.between(system.name, stream.name, start, end))))
    lake = Lake(settings.lake)
    by_day = split_by_day(pd.concat(parts, ignore_index=True), list(days))
    for day, rows in by_day.items():
        lake.write(system.name, stream.raw, day, rows, raw_schema(stream))
    return pd.concat(by_day.values(), ignore_index=True)


@dataclass(frozen=True, kw_only=True)
class StoredEvents:
    """What was stored of some days of a stream.

    usable, aside: how many rows are usable, and how many lie in the quarantine
    broken: for each stored row that breaks the contract, which none should, the reason
    reasons: the most frequent reasons to set a record aside, each with how often it was one
    first: the first usable rows
    """

    usable: int
    aside: int
    broken: list[str]
    reasons: dict[str, int]
    first: pd.DataFrame

    @property
    def share_aside(self) -> float:
        return self.aside / max(1, self.aside + self.usable)


def store_events(
    system: System, settings: Settings, days: Sequence[date], stream: Stream | None = None
) -> StoredEvents:
    """Parse the stored raw records of each day, and store events and quarantine.

    stream: whose records, unless they are those of the stream that predictions are made for
    days: consecutive, in order
    """
    stream = stream or system.asked
    lake, name, schema = Lake(settings.lake), system.name, stream_schema(stream)
    contract, reasons, broken = Contract.of(system, stream), Counter[str](), list[str]()
    first, usable = schema.empty_table(), 0
    for day in days:
        raw = lake.read(name, stream.raw, raw_schema(stream), start=day, end=day + DAY)
        parsed = parse_raw(system, raw, stream)
        lake.write(name, stream.table, day, parsed.rows, schema)
        lake.write(name, stream.quarantine, day, parsed.quarantine, QUARANTINE)
        stored = chain.from_iterable(
            part.to_pylist() for part in lake.portions(name, stream.table, schema, day, size=PART))
        broken += contract.breaches(stored).values()
        reasons.update(parsed.quarantine["reason"])
        usable += len(parsed.rows)
        first = pa.concat_tables([first, parsed.rows]).slice(0, SHOWN)
    return StoredEvents(usable=usable, aside=reasons.total(), broken=broken,
                        reasons=dict(reasons.most_common(5)), first=frame_of(first))


@dataclass(frozen=True, kw_only=True)
class LabelCounts:
    """Of the labels that were stored.

    by_basis: how many rest on `archive`, `feedback` and `silence`
    early: how many are known before their event happened, which none should be
    """

    by_basis: dict[str, int]
    positives: int
    early: int


def store_labels(system: System, settings: Settings, days: Sequence[date]) -> LabelCounts:
    """Store the labels that became known on each day.

    days: consecutive, in order
    """
    lake, name = Lake(settings.lake), system.name
    since = midnight(days[0]) - system.label.maturity - FUTURE
    archived = lake.read(name, "raw", RAW, start=since.date(), end=days[-1] + DAY,
                         columns=["event_id", "event_timestamp", "outcome"])
    predictions, feedback = _accepted(system, settings, since, midnight(days[-1]) + DAY)
    stored = []
    for day in days:
        start, end = day_bounds(day)
        known = labels_known_in(system.label, system.feedback, start=start, end=end,
                                archived=archived, predictions=predictions, feedback=feedback)
        first = known["event_timestamp"].min().date() - DAY if len(known) else day
        events = lake.read(name, "events", events_schema(system), start=first, end=day + DAY,
                           columns=["event_id", "accepted_at", *system.keys])
        keyed = with_keys(known, events, system.keys, system.calendar.live_from)
        lake.write(name, "labels", day, keyed, labels_schema(system))
        stored.append(known)
    return LabelCounts(
        by_basis={basis: sum(int((rows["basis"] == basis).sum()) for rows in stored)
                  for basis in ("archive", "feedback", "silence")},
        positives=sum(int(rows["label"].sum()) for rows in stored),
        early=sum(int((rows["known_at"] < rows["event_timestamp"]).sum()) for rows in stored),
    )


def _accepted(
    system: System, settings: Settings, since: datetime, end: datetime
) -> tuple[list[Prediction], list[Feedback]]:
    """All feedback before `end`, and the predictions from `since` on or that it is about."""
    log = EventLog(settings.event_log)
    beginning = datetime.min.replace(tzinfo=end.tzinfo)
    feedback = list(log.feedback(system.name, beginning, end))
    named = {each.prediction_id for each in feedback}
    predictions = [
        each for each in log.predictions(system.name, beginning, end)
        if each.accepted_at >= since or each.prediction_id in named
    ]
    log.close()
    return predictions, feedback
