"""A system's recorded days as rows: what a time machine lets happen again, quickly.

All days are taken in as recorded history, by the real ingestion, into a folder of their own. One
training set of all of them has each event with its features as of its own instant, which parity
proves equal to what is served, with its label and when that was known. What is known at an instant
is a part of it: the training set of that instant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ml_assets.core.errors import NotReady
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.target import Bools, Floats
from ml_assets.core.time import DAY, midnight
from ml_assets.features.manifest import load_manifest
from ml_assets.features.training_sets.stored import TrainingSet
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.ingest.archive import usable
from ml_assets.ingest.daily import store_events, store_labels, store_raw
from ml_assets.ingest.kept import store_table
from ml_assets.ingest.lake import write_parquet
from ml_assets.monitoring.drift.columns import filled_from
from ml_assets.training.rows.reading import rows_of
from ml_assets.training.rows.scoring import outputs_of_rows
from ml_assets.training.run import fitted_to

Texts = npt.NDArray[np.str_]


@dataclass(frozen=True, kw_only=True, eq=False)
class LearntModel:
    """A model of what was known at `as_of`.

    outputs_NW: what it answers for each row of the past; held_out: which rows (N,) of those that
    were known it was not fitted to; labels: how many were known
    """

    as_of: datetime
    outputs_NW: Floats
    known: Bools
    held_out: Bools

    @property
    def labels(self) -> int:
        return int(self.known.sum())


class Past(Protocol):
    """What a time machine plays a policy in. Faults wrap one in another."""

    @property
    def system(self) -> System: ...

    @property
    def rows(self) -> pd.DataFrame:
        """All N labelled events in the order of time: event_id, event_timestamp, label (as it is
        told), known_at (NaT: never told), truth, answered (whether the API was there), and every
        column that the system declares."""
        ...

    @property
    def about(self) -> TrainingSet:
        """The training set of all days: its names are those of the features."""
        ...

    @property
    def filled(self) -> Mapping[str, datetime]:
        """From when on each windowed feature is whole, see `monitoring.drift.columns`."""
        ...

    def learn(self, as_of: datetime) -> LearntModel:
        """The model of what is known strictly before `as_of`. Raises NotReady if nothing can be
        learnt from that."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordedPast:
    """The recorded days as they were. Each model is trained once, whoever asks for it.

    folder: for training sets, its own
    """

    system: System
    rows: pd.DataFrame
    about: TrainingSet
    schema: pa.Schema
    folder: Path
    filled: Mapping[str, datetime]
    _learnt: dict[datetime, LearntModel] = field(default_factory=dict)

    def learn(self, as_of: datetime) -> LearntModel:
        if as_of not in self._learnt:
            self._learnt[as_of] = self._learn(as_of)
        return self._learnt[as_of]

    def with_rows(self, rows: pd.DataFrame, name: str) -> RecordedPast:
        """The same with other rows, in the same order."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return replace(self, rows=rows, folder=folder, _learnt={})

    def _learn(self, as_of: datetime) -> LearntModel:
        known = known_at(self.system, self.rows, as_of)
        if not known.any():
            raise NotReady(f"no label of {self.system.name!r} was known before {as_of}")
        happened = self.rows["event_timestamp"]
        held_out = known & (happened > happened[known].max() - self.system.model.holdout).to_numpy()
        split = np.where(held_out, "holdout", "train")
        training_set = self._stored(f"{as_of:%Y%m%dT%H%M}", known, split, as_of)
        scorer = fitted_to(self.system, training_set, before=None)[1].scorer
        everything = rows_of(self.system, self._whole, "holdout")
        return LearntModel(as_of=as_of, known=known, held_out=held_out,
                      outputs_NW=np.asarray(outputs_of_rows(scorer, everything), np.float64))

    @cached_property
    def _whole(self) -> TrainingSet:
        every = np.ones(len(self.rows), dtype=bool)
        return self._stored("whole", every, np.full(len(every), "holdout"), self.about.as_of)

    def _stored(self, name: str, chosen: Bools, split: Texts, as_of: datetime) -> TrainingSet:
        """Some rows as the file of a training set."""
        rows = self.rows.assign(split=split)[chosen]
        path = self.folder / f"{name}.parquet"
        write_parquet(pa.Table.from_pandas(rows[self.schema.names], self.schema,
                                           preserve_index=False), path)
        return replace(self.about, version=name, as_of=as_of, labels=int(chosen.sum()), path=path)


def known_at(system: System, rows: pd.DataFrame, as_of: datetime) -> Bools:
    """Which rows (N,) the training set as of an instant has, see `labelled_events`."""
    happened, history = rows["event_timestamp"], system.model.history
    known = (rows["known_at"] < as_of) & (happened + system.truth.maturity <= as_of)
    if history is not None:
        known &= happened >= as_of - history
    return known.to_numpy(dtype=bool)


def recorded(
    system: System, settings: Settings, folder: Path, *, until: datetime
) -> RecordedPast:
    """The days of a system before `until`, from its archive.

    folder: empty, for what is made of them. Raises NotReady if there is no live day before
    `until`.

    Slates are those that were shown: models put their items in another order, and what was taken
    stays taken (as Li, Chu, Langford and Wang replay recorded choices, "Unbiased offline evaluation
    of contextual-bandit-based news article recommendation algorithms", WSDM 2011, but without
    dropping what another model would not have shown).
    """
    if until <= system.calendar.live_from:
        raise NotReady(f"{system.name!r} goes live on {system.calendar.go_live}: there is nothing "
                       f"to replay before {until.date()}")
    closed = until + system.truth.maturity + DAY
    # All days are history: nobody is asked, and each label is known when the archive says.
    past = replace(
        system, model=replace(system.model, history=None),
        calendar=replace(system.calendar, go_live=closed.date() + DAY,
                         last_day=closed.date() + DAY))
    own = replace(settings, var=folder / "var")
    manifest = load_manifest(settings)
    service = manifest.services.get(system.feature_service)
    for lender in manifest.lenders(system):
        _ingest(replace(lender, calendar=replace(
            lender.calendar, go_live=past.calendar.go_live, last_day=past.calendar.last_day)),
            own, closed)
    _ingest(past, own, closed)
    sets = TrainingSets(own, past)
    about = sets.build(closed)
    rows = about.rows
    rows = rows[rows["event_timestamp"] < until].reset_index(drop=True)
    rows = rows.assign(truth=rows["label"], answered=True, basis="feedback")
    schema = pq.read_schema(about.path).remove_metadata()
    (folder / "sets").mkdir()
    return RecordedPast(system=system, rows=rows, about=about, schema=schema,
                         folder=folder / "sets",
                         filled={} if service is None else filled_from(system, service))


def last_recorded(system: System, settings: Settings) -> datetime:
    """The end of the last day on which something was recorded."""
    archive = usable(system, system.source.archive(system.source.fetch(settings.cache)))
    last = max((event.event_timestamp for event in archive), default=None)
    if last is None:
        raise NotReady(f"{system.name!r} has no recorded event")
    return midnight(last.date()) + DAY


def _ingest(system: System, settings: Settings, until: datetime) -> None:
    """All days before `until`, by the functions that do so in production."""
    first = system.calendar.first_day
    days = [first + number * DAY for number in range((until.date() - first).days)]
    for stream in system.streams:
        store_raw(system, settings, days, stream)
        store_events(system, settings, days, stream)
    for table in system.tables:
        store_table(system, settings, table, days)
    store_labels(system, settings, days)
