"""A registered model of each kind of target, trained on a few rows of a tiny system's history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.features.training_sets.stored import TrainingSet
from ml_assets.registry.models import ModelRegistry, ModelVersion
from ml_assets.training.run import train
from tests.made_sets import stored
from tests.tickets import TICKETS
from tests.toy import TOY
from tests.tracks import TRACKS
from tests.trips import TRIPS
from tests.whole_loop import recorded

ROWS = 300


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A version, and rows that it did not see: the model's columns and `label`.

    event_ids: of these rows; items: what they show, of a ranking
    """

    system: System
    version: ModelVersion
    settings: Settings
    unseen: pd.DataFrame
    event_ids: Sequence[str]
    items: Sequence[str]

    @property
    def folder(self) -> Path:
        """All that MLflow has of the model."""
        return ModelRegistry(self.settings).folder(self.system.name, self.version.version).parent


def registered(settings: Settings) -> dict[str, Registered]:
    """By kind of target."""
    return {system.target.kind: of(system, settings) for system in (TOY, TICKETS, TRIPS, TRACKS)}


def of(system: System, settings: Settings) -> Registered:
    training_set = history_of(system)
    version, _ = train(system, training_set, ModelRegistry(settings),
                       tags={"dagster_run_id": "run"})
    rows = training_set.rows[training_set.rows["split"] == "holdout"]
    columns = [*system.model.texts, *training_set.feature_names, "label"]
    slates = system.target.slates
    return Registered(
        system=system, version=version, settings=settings,
        unseen=rows[columns].reset_index(drop=True), event_ids=rows["event_id"].tolist(),
        items=[] if slates is None else rows[slates.item].map(str).tolist())


def history_of(system: System) -> TrainingSet:
    """The first rows of the archive, with a made-up feature of the store that is often missing."""
    archive = recorded() if system.name == TOY.name else system.source.archive(Path())
    usable = (event for event in archive if isinstance(event.outcome, (bool, str, float))
              and event.event_id and event.event_id[0] in "htro" and event.event_timestamp
              and event.request.get("shop") != "\ud800" and event.request.get("amount", 1))
    events = list(islice(usable, ROWS))
    draw = np.random.default_rng(3)
    frame = pd.DataFrame([{**system.source.parse(event.request), "event_id": event.event_id,
                           "label": event.outcome, "event_timestamp": event.event_timestamp}
                          for event in events])
    frame["of_store"] = np.where(draw.random(len(frame)) < 0.3, np.nan, draw.random(len(frame)))
    if system.target.slates is not None:
        frame["hour"] = frame["hour"].astype(float)  # as a training set has numbers
        frame["propensity"] = np.where(np.arange(len(frame)) % 4, 0.9, 0.05)
    frame["split"] = np.where(np.arange(len(frame)) < 0.8 * len(frame), "train", "holdout")
    days = [event.event_timestamp for event in events]
    first, last = min(days), max(days)
    return TrainingSet(
        version="v1", as_of=last + timedelta(days=9),
        feature_names=(*system.model.numbers, "of_store"), texts=system.model.texts,
        partitions=(first.date(), last.date()), feature_service=system.feature_service,
        labels=len(frame), events_lacking=0, path=stored(frame),
    )
