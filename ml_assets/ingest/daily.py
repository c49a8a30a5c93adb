"""What a day's run stores of each day: what reached the system, its events, and its labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain

import pandas as pd

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, day_bounds, midnight
from ml_assets.ingest.events import (
    Parsed,
    parse_raw,
    raw_from_archive,
    raw_from_log,
    split_by_day,
)
from ml_assets.ingest.labels import labels_known_in, may_speak_in, with_keys
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.tables import QUARANTINE, RAW, RECORDS, events_schema, labels_schema


def store_raw(system: System, settings: Settings, days: Sequence[date]) -> pd.DataFrame:
    """Store what reached the system on each day; the rows of all of them, as `tables.RECORDS`.

    days: consecutive, in order; those before the system goes live are read from its archive, the
    others from the event log
    """
    calendar, parts = system.calendar, []
    if days[0] < calendar.go_live:
        history = system.source.archive(system.source.fetch(settings.cache))
        parts.append(raw_from_archive(
            history, since=midnight(calendar.first_day), until=calendar.live_from))
    if days[-1] >= calendar.go_live:
        start = max(midnight(days[0]), calendar.live_from)
        log = EventLog(settings.event_log)
        parts.append(raw_from_log(list(
            log.predictions(system.name, start, midnight(days[-1]) + DAY))))
        log.close()
    lake = Lake(settings.lake)
    by_day = split_by_day(pd.concat(parts, ignore_index=True), list(days))
    for day, rows in by_day.items():
        lake.write(system.name, "raw", day, rows, RECORDS)
    return pd.concat(by_day.values(), ignore_index=True)


def store_events(system: System, settings: Settings, days: Sequence[date]) -> Parsed:
    """Parse the stored raw records of each day, and store events and quarantine; those of all days.

    days: consecutive, in order
    """
    lake, name, schema = Lake(settings.lake), system.name, events_schema(system)
    for day in days:
        parsed = parse_raw(system, lake.read(name, "raw", RECORDS, start=day, end=day + DAY))
        lake.write(name, "events", day, parsed.events, schema)
        lake.write(name, "quarantine", day, parsed.quarantine, QUARANTINE)
    first, end = days[0], days[-1] + DAY
    return Parsed(
        events=lake.read(name, "events", schema, start=first, end=end),
        quarantine=lake.read(name, "quarantine", QUARANTINE, start=first, end=end),
    )


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
    """Store the labels that became known on each day, one day after the other.

    days: consecutive, in order
    """
    lake, log = Lake(settings.lake), EventLog(settings.event_log)
    by_basis, positives, early = dict.fromkeys(("archive", "feedback", "silence"), 0), 0, 0
    for day in days:
        known = _store_labels_of(system, lake, log, day)
        for basis in by_basis:
            by_basis[basis] += int((known["basis"] == basis).sum())
        positives += int(known["label"].sum())
        early += int((known["known_at"] < known["event_timestamp"]).sum())
    log.close()
    return LabelCounts(by_basis=by_basis, positives=positives, early=early)


def _store_labels_of(system: System, lake: Lake, log: EventLog, day: date) -> pd.DataFrame:
    """Of the lake and of the log only that is read which a label of this day can be about."""
    start, end = day_bounds(day)
    name, accepted = system.name, may_speak_in(system.label, start, end)
    archived = lake.read(name, "raw", RAW, start=(start - system.label.maturity).date(),
                         end=accepted[1].date() + DAY,
                         columns=["event_id", "event_timestamp", "outcome"])
    predictions = {each.prediction_id: each for each in chain(
        log.predictions(name, *accepted), log.predictions_heard_of(name, start, end))}
    words = [word for each in predictions for word in log.feedback_on(each)
             if word.received_at < end]
    known = labels_known_in(
        system.label, system.feedback, start=start, end=end, archived=archived,
        predictions=predictions.values(), feedback=words,
        first_heard={source: first for source in {word.source for word in words}
                     if (first := log.first_word(name, source)) is not None})
    arrived = {each.accepted_at.date() for each in predictions.values()}
    arrived |= set(known["event_timestamp"].dt.date) if len(known) else set()
    events = lake.read_days(name, "events", events_schema(system), sorted(arrived),
                            columns=["event_id", "accepted_at", *system.keys])
    keyed = with_keys(known, events[events["event_id"].isin(set(known["event_id"]))],
                      system.keys, system.calendar.live_from)
    lake.write(name, "labels", day, keyed, labels_schema(system))
    return known
