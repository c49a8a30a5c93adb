"""The recorded history, read once: what can be used of it, and what of it has labels when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import pyarrow as pa

from ml_assets.core.errors import Quarantined
from ml_assets.core.runtime.isolation import Fault, attempt
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.system import System
from ml_assets.core.target import Label
from ml_assets.ingest.archive import Record, records
from ml_assets.ingest.contracts.rows import Contract
from ml_assets.ingest.posted import read_json
from ml_assets.ingest.sources.origins import BATCH, ORIGIN

LABEL, AT = "_label", "_at"
"""Columns of the survey: the label as a text, and when the event happened."""


@dataclass(kw_only=True)
class RecordedHistory:
    """Counts of the events seen so far.

    unusable: reasons, without the values; examples: the first of each; labels: of usable events
    trainable, judged: labels known by the day of going live, of events before the holdout and in
    it; delay: the longest from an event to its label; unsorted: the first event out of order
    """

    system: System
    usable: int = 0
    examples: dict[str, str] = field(default_factory=dict)
    unusable: Counter[str] = field(default_factory=Counter)
    days: Counter[date] = field(default_factory=Counter)
    labels: Counter[Label] = field(default_factory=Counter)
    unlabelled: int = 0
    trainable: Counter[Label] = field(default_factory=Counter)
    judged: Counter[Label] = field(default_factory=Counter)
    delay: timedelta = timedelta(0)
    unsorted: str = ""
    _latest: datetime | None = None

    def batches(self, archive: Iterable[ArchivedEvent]) -> Iterator[pa.RecordBatch]:
        """The usable events as texts, for a survey; counts on the way. At least one batch."""
        names = [column.name for column in self.system.columns]
        schema = pa.schema([(name, pa.string()) for name in (*names, LABEL, AT, ORIGIN)])
        contract, seen = Contract.of(self.system, self.system.asked), set[str]()
        rows: list[list[str | None]] = []
        full = False
        for record in records(self.system, archive):
            row = attempt(self._row, contract, seen, record)
            if isinstance(row, Fault):
                self._aside(record, row.reason)
                continue
            rows.append(row)
            if len(rows) == BATCH:
                yield _batch(rows, schema)
                rows, full = [], True
        if rows or not full:
            yield _batch(rows, schema)

    def _row(self, contract: Contract, seen: set[str], record: Record) -> list[str | None]:
        if record.problem is not None:
            raise Quarantined(record.problem)
        event = contract.row({
            **self.system.source.parse(read_json(record.request)), "event_id": record.event_id,
            "event_timestamp": record.at, "accepted_at": record.at}, seen)
        self._count(record)
        label = None if record.outcome is None else str(record.outcome)
        return [*(_text(event[column.name]) for column in self.system.columns), label,
                record.at.isoformat(), record.event_id]

    def _count(self, record: Record) -> None:
        if self._latest is not None and record.at < self._latest and not self.unsorted:
            self.unsorted = record.event_id
        self._latest = record.at
        self.usable += 1
        self.days[record.at.date()] += 1
        if record.outcome is None or record.known_at is None:
            self.unlabelled += 1
            return
        self.labels[record.outcome] += 1
        self.delay = max(self.delay, record.known_at - record.at)
        live = self.system.calendar.live_from
        if record.known_at < live:
            held = record.at >= live - self.system.truth.maturity - self.system.model.holdout
            (self.judged if held else self.trainable)[record.outcome] += 1

    def _aside(self, record: Record, reason: str) -> None:
        kind = " ".join(word for word in reason.split() if word.isalpha())
        self.unusable[kind] += 1
        self.examples.setdefault(
            kind, reason if record.event_id in reason else f"{record.event_id}: {reason}")


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _batch(rows: list[list[str | None]], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array([row[place] for row in rows], pa.string()) for place in range(len(schema))],
        schema=schema)
