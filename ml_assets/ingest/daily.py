"""What a day's run stores of each day: what reached the system, its events, and its labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import chain

import pandas as pd
import pyarrow as pa

from ml_assets.core.data.streams import Stream
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, day_bounds, midnight
from ml_assets.ingest.audits import matured
from ml_assets.ingest.contracts.rows import Contract
from ml_assets.ingest.contracts.stored import keeps
from ml_assets.ingest.events import READ, archived_rows, logged_rows, parse_raw
from ml_assets.ingest.filing import Filing
from ml_assets.ingest.labels import ArchivedOutcomes, labels_known_in, may_speak_in, with_keys
from ml_assets.ingest.lake import Lake, frame_of
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.told import LABELS
from ml_assets.ingest.tables import (
    QUARANTINE,
    audits_schema,
    events_schema,
    labels_schema,
    raw_schema,
    stream_schema,
)

PART = 10_000
"""Rows that are checked at a time."""
SHOWN = 5
"""Rows that an asset's page shows."""
FREQUENT = 10
"""Labels that are told with their counts."""


@dataclass(frozen=True, kw_only=True)
class StoredRaw:
    """rows, bytes: of all records that were stored, and of their requests; first: some of them."""

    rows: int
    bytes: int
    first: pd.DataFrame


def store_raw(
    system: System, settings: Settings, days: Sequence[date], stream: Stream | None = None
) -> StoredRaw:
    """Store what reached a stream on each day.

    stream: the one that predictions are made for, unless it is given
    days: consecutive, in order; those before the system goes live are read from the archive, in
    one pass, the others from the event log
    """
    stream = stream or system.asked
    calendar, first, end = system.calendar, midnight(days[0]), midnight(days[-1]) + DAY
    filing = Filing(Lake(settings.lake), system.name, stream.raw, raw_schema(system, stream), days)
    if first < calendar.live_from:
        history = stream.source.archive(stream.source.fetch(settings.cache))
        filing.add(archived_rows(
            system, history, since=midnight(calendar.first_day),
            until=min(end, calendar.live_from)))
    if end > calendar.live_from:
        with closing(EventLog(settings.event_log)) as log:
            since = max(first, calendar.live_from)
            filing.add(logged_rows(
                log.predictions(system.name, since, end) if stream.asked else
                log.told.between(system.name, stream.name, since, end)))
    filing.close()
    return StoredRaw(rows=filing.rows, bytes=filing.bytes, first=filing.first)


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
        raw = lake.read_table(
            name, stream.raw, raw_schema(system, stream), start=day, end=day + DAY,
            columns=READ.names)
        parsed = parse_raw(system, raw, stream)
        lake.write(name, stream.table, day, parsed.rows, schema)
        lake.write(name, stream.quarantine, day, parsed.quarantine, QUARANTINE)
        broken += _broken(contract, partial(
            lake.portions, name, stream.table, schema, day, size=PART))
        reasons.update(parsed.quarantine["reason"])
        usable += len(parsed.rows)
        first = pa.concat_tables([first, parsed.rows]).slice(0, SHOWN)
    return StoredEvents(usable=usable, aside=reasons.total(), broken=broken,
                        reasons=dict(reasons.most_common(5)), first=frame_of(first))


def _broken(contract: Contract, stored: Callable[[], Iterator[pa.Table]]) -> Iterable[str]:
    """Why stored rows break the contract, which none should."""
    if keeps(contract, stored()):
        return ()
    return contract.breaches(
        chain.from_iterable(part.to_pylist() for part in stored())).values()


@dataclass(frozen=True, kw_only=True)
class LabelCounts:
    """Of the labels that were stored.

    by_basis: how many rest on `archive`, `feedback` and `silence`
    frequent: those that there are most of, each with how many
    early: how many are known before their event happened, which none should be
    """

    by_basis: dict[str, int]
    frequent: dict[str, int]
    early: int


def store_labels(system: System, settings: Settings, days: Sequence[date]) -> LabelCounts:
    """Store the labels that became known on each day, one day after the other.

    days: consecutive, in order
    """
    lake, log = Lake(settings.lake), EventLog(settings.event_log)
    archived = ArchivedOutcomes(lake, system)
    by_basis, early = dict.fromkeys(("archive", "feedback", "silence"), 0), 0
    frequent: Counter[str] = Counter()
    for day in days:
        known = _store_labels_of(system, lake, log, day, archived)
        for basis in by_basis:
            by_basis[basis] += int((known["basis"] == basis).sum())
        frequent.update(map(str, known["label"]))
        early += int((known["known_at"] < known["event_timestamp"]).sum())
    log.close()
    return LabelCounts(by_basis=by_basis, frequent=dict(frequent.most_common(FREQUENT)),
                       early=early)


def _counted(system: System, log: EventLog, label_ids: Sequence[str]) -> dict[str, int]:
    """The positions of the labels that the log counts, by id."""
    return {label_id: told.seq for label_id, told in
            log.told.find(system.name, LABELS, label_ids).items() if told.seq is not None}


def _store_labels_of(
    system: System, lake: Lake, log: EventLog, day: date, archived: ArchivedOutcomes
) -> pd.DataFrame:
    """Of the lake and of the log only that is read which a label of this day can be about."""
    start, end = day_bounds(day)
    name, accepted = system.name, may_speak_in(system.truth, start, end)
    predictions = {each.prediction_id: each for each in chain(
        log.predictions(name, *accepted), log.predictions_heard_of(name, start, end))}
    words = [word for word in log.feedback.on_each(list(predictions)) if word.received_at < end]
    known = labels_known_in(
        system.truth, system.feedback, start=start, end=end,
        archived=archived.known_before(end), predictions=predictions.values(), feedback=words,
        first_heard={source: first for source in {word.source for word in words}
                     if (first := log.feedback.first_word(name, source)) is not None})
    if system.feedback.audit is not None:
        lake.write(name, "audits", day, matured(
            system, predictions.values(), words, start=start, end=end), audits_schema(system))
    arrived = {each.accepted_at.date() for each in predictions.values()}
    arrived |= set(known["event_timestamp"].dt.date) if len(known) else set()
    events = lake.read_days(name, "events", events_schema(system), sorted(arrived),
                            columns=["event_id", "accepted_at", *system.keys])
    keyed = with_keys(known, events[events["event_id"].isin(set(known["event_id"]))],
                      system.keys, system.calendar.live_from, partial(_counted, system, log))
    lake.write(name, "labels", day, keyed, labels_schema(system))
    return known
