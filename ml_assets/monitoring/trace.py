"""What one raw event has touched: its own prediction, labels, training sets, models, features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml_assets.core.data.streams import Stream
from ml_assets.core.errors import MlAssetsError
from ml_assets.core.runtime.isolation import Fault, attempt
from ml_assets.core.settings import Settings
from ml_assets.core.storage.condition import read_object
from ml_assets.core.storage.mounts import current_folder
from ml_assets.core.system import System
from ml_assets.core.target import Label
from ml_assets.core.time import LATEST, parse_day
from ml_assets.features.contributing import counting_views, looks_of, stretches_at
from ml_assets.features.manifest import load_manifest
from ml_assets.ingest.contracts.rows import read_event
from ml_assets.ingest.lake import Lake, naming
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.unfiled import unfiled
from ml_assets.ingest.tables import events_schema
from ml_assets.registry.origin import trained_on
from ml_assets.serving.answer.explanation import Heard


@dataclass(frozen=True, kw_only=True)
class LabelRow:
    """A label, as in the lake's table `labels`, or of a day that is not closed yet."""

    known_at: datetime
    label: Label
    basis: str


@dataclass(frozen=True, kw_only=True)
class InTrainingSet:
    """A training set that holds the event.

    split: models learn from it in `train`, and are judged by it in `holdout`
    models: the versions trained on this set, each with the number of predictions it answered
    """

    version: str
    as_of: datetime
    split: str
    label: Label
    models: dict[int, int]


@dataclass(frozen=True, kw_only=True)
class CountedIn:
    """A prediction for another event, whose store features counted this one in these views.

    system: that made it: its own, or another that reads its views
    """

    prediction_id: str
    event_id: str
    accepted_at: datetime
    model_version: int
    views: tuple[str, ...]
    system: str


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Everything that a raw event has touched.

    stream:      whose event it is; predicted: whether predictions are made for its events
    day:         the day on which the system received it, if the lake has it by now
    quarantined: why it became no event; None if it did, or was not taken in yet
    prediction_id, model_version: of its own answer; None for recorded history
    counted_in:  in the order of acceptance
    problems:    what could not be found out, and why
    """

    system: str
    stream: str
    predicted: bool
    event_id: str
    event_timestamp: datetime
    day: date | None
    quarantined: str | None
    prediction_id: str | None
    model_version: int | None
    labels: tuple[LabelRow, ...]
    training_sets: tuple[InTrainingSet, ...]
    counted_in: tuple[CountedIn, ...]
    problems: tuple[str, ...]


def trace(settings: Settings, system: System, log: EventLog, event_id: str) -> list[Trace]:
    """What the events of this id have touched: one of each stream of the system that has it.

    Reads the ids and keys of the whole lake. Raises LogUnavailable.
    """
    searches = (_Search(settings, system, log, event_id, stream) for stream in system.streams)
    return [found for found in (search.trace() for search in searches) if found is not None]


class _Search:
    """The places where an event may have left something; `problems` are those that are shut."""

    def __init__(
        self, settings: Settings, system: System, log: EventLog, event_id: str, stream: Stream
    ) -> None:
        self._settings, self._system, self._log = settings, system, log
        self._event_id, self._lake, self.stream = event_id, Lake(settings.lake), stream
        self.answer = log.answer_to(system.name, event_id) if stream.asked else None
        self.told = None if stream.asked else log.told.find(
            system.name, stream.name, [event_id]).get(event_id)
        self.problems: list[str] = []

    def trace(self) -> Trace | None:
        """None if the stream never had the event."""
        raw, logged = self.raw(), self.answer or self.told
        if raw is not None:
            day, happened = raw
        elif logged is not None:
            day, happened = None, logged.event_timestamp
        else:
            return None
        return Trace(
            system=self._system.name, stream=self.stream.name, predicted=self.stream.asked,
            event_id=self._event_id, event_timestamp=happened, day=day,
            quarantined=self.quarantined(),
            prediction_id=None if self.answer is None else self.answer.prediction_id,
            model_version=None if self.answer is None else self.answer.model_version,
            labels=self.labels(), training_sets=self.training_sets(),
            counted_in=self.counted_in(), problems=tuple(self.problems),
        )

    def raw(self) -> tuple[date, datetime] | None:
        """When the system received it, and when it happened."""
        return next(((parse_day(path.stem), row["event_timestamp"])
                     for path, row in self._rows(self.stream.raw, "event_timestamp")), None)

    def quarantined(self) -> str | None:
        """Why it became no event, if it did not."""
        rows = self._rows(self.stream.quarantine, "reason")
        return next((str(row["reason"]) for _, row in rows), None)

    def labels(self) -> tuple[LabelRow, ...]:
        """Those of closed days from the lake; what has become known since, from the log."""
        known = dict.fromkeys(self._taken_in() if self.stream.asked else ())
        if self.answer is not None:
            now = self._settings.clock_of(self._system.name).now()
            heard = Heard.of(self._system, self._log, self.answer, now)
            known |= dict.fromkeys(
                LabelRow(known_at=each.known_at, label=each.label, basis=each.basis)
                for each in heard.known
            )
        return tuple(sorted(known, key=lambda each: each.known_at))

    def _taken_in(self) -> list[LabelRow]:
        rows = self._rows("labels", "known_at", "label", "basis")
        return [LabelRow(**row) for _, row in rows]

    def training_sets(self) -> tuple[InTrainingSet, ...]:
        """Those that hold it, in the order of time, with the models trained on them."""
        if not self.stream.asked:
            return ()
        try:
            models = trained_on(self._settings, self._system.name)
        except MlAssetsError as error:
            models = {}
            self.problems.append(f"models: {error}")
        answered = self._log.answered_by(self._system.name)
        sets = []
        for path, row in self._rows("training_set", "label", "split"):
            about = read_object(path.with_suffix(".json"), "of a training set",
                                f"materialise {self._system.name}/training_set again")
            versions = {each: answered.get(each, 0) for each in models.get(path.stem, [])}
            sets.append(InTrainingSet(
                version=path.stem, as_of=datetime.fromisoformat(about["as_of"]),
                split=row["split"], label=row["label"], models=versions,
            ))
        return tuple(sorted(sets, key=lambda each: (each.as_of, each.version)))

    def counted_in(self) -> tuple[CountedIn, ...]:
        """The predictions whose features it made, itself or by its labels: the system's, and
        those of others that read its views.
        """
        try:
            readers = [self._system, *load_manifest(self._settings).readers(self._system.name)]
            found = [each for reader in readers for each in self._counted_by(reader)]
        except MlAssetsError as error:
            self.problems.append(f"features: {error}")
            return ()
        return tuple(sorted(found, key=lambda each: (each.accepted_at, each.event_id)))

    def _counted_by(self, reader: System) -> Iterator[CountedIn]:
        mine = {column.name for column in self.stream.columns}
        event = self._event([key for key in reader.keys if key in mine])
        if event is None:
            return
        looks = [look for look in looks_of(self._settings, reader)
                 if look.system.name == self._system.name]
        known_at = list(dict.fromkeys(
            [each.known_at for each in self._taken_in()]
            + [each.known_at for each in self.labels() if each.basis == "feedback"]
        )) if self.stream.asked else []
        for event_id, shared in self._sharing(reader, event, event["accepted_at"].date()):
            answer = self._log.answer_to(reader.name, event_id)
            if answer is None or answer.degraded:
                continue
            views = counting_views(
                stretches_at(looks, shared, answer.features_as_of, known_by=answer.accepted_at),
                event, happened=event["event_timestamp"], received=event["accepted_at"],
                known_at=known_at, table=self.stream.table,
            )
            if views:
                yield CountedIn(
                    prediction_id=answer.prediction_id, event_id=event_id,
                    accepted_at=answer.accepted_at, model_version=answer.model_version,
                    views=tuple(views), system=reader.name,
                )

    def _event(self, keys: Sequence[str]) -> Mapping[str, Any] | None:
        """Its keys and instants, of the lake or of the log; None if it could not be used."""
        rows = self._rows(self.stream.table, "event_timestamp", "accepted_at", *keys)
        _, event = next(rows, (None, None))
        logged = self.answer or self.told
        if event is not None or logged is None or self.raw() is not None:
            return event
        read = attempt(read_event, self._system, logged.request, self.stream)
        return None if isinstance(read, Fault) else {
            **read, "event_timestamp": logged.event_timestamp, "accepted_at": logged.accepted_at}

    def _sharing(
        self, reader: System, event: Mapping[str, object], since: date
    ) -> Iterator[tuple[str, Mapping[str, object]]]:
        """The events received from that day on, for a reader's predictions, that share one of its
        entities, with their keys."""
        keys = [key for key in reader.keys if event.get(key) not in (None, "")]
        if not keys:
            return
        names = ["event_id", *reader.keys]
        for rows in self._received(reader, names, since):
            shares = reduce(pc.or_, (pc.equal(rows[key], event[key]) for key in keys))
            for row in rows.filter(shares).to_pylist():
                yield row["event_id"], row

    def _received(self, reader: System, names: Sequence[str], since: date) -> Iterator[pa.Table]:
        for path in self._partitions("events", reader):
            if parse_day(path.stem) >= since:
                with naming(path), pq.ParquetFile(path) as file:
                    yield file.read(columns=list(names))
        schema = events_schema(reader)
        yield unfiled(self._lake, self._log, reader, "events",
                      pa.schema([schema.field(name) for name in names]), LATEST)

    def _rows(self, table: str, *columns: str) -> Iterator[tuple[Path, dict[str, Any]]]:
        """The rows of the event in a table, with their files, in the order of days."""
        for path in self._partitions(table, self._system):
            with naming(path), pq.ParquetFile(path) as file:
                rows = file.read(columns=["event_id", *columns])
            for row in rows.filter(pc.equal(rows["event_id"], self._event_id)).to_pylist():
                yield path, {name: row[name] for name in columns}

    def _partitions(self, table: str, system: System) -> list[Path]:
        folder = current_folder(self._lake.table(system.name, table))
        return sorted(folder.glob("[!.]*.parquet"))
