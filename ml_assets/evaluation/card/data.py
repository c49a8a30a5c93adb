"""What a training set holds, read from its file: a version may outlive it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from ml_assets.core.errors import MlAssetsError
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.features.training_sets.statistics import describe
from ml_assets.features.training_sets.stored import TrainingSet
from ml_assets.features.training_sets.training_set import TrainingSets

Split = Literal["train", "holdout"]
SAMPLE = 20_000
"""Rows, evenly spread, that features are described by."""


@dataclass(frozen=True, kw_only=True)
class SplitData:
    """labels: what these are, in words; first, last: when its events happened, None without any"""

    rows: int
    labels: str
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True, kw_only=True)
class CardData:
    """splits: by name; statistics: of the features, see `describe`, of `sampled` rows
    new: of each category that the model reads, the share of held-out rows whose value no training
        row has; lacking: labels left out because their event is not there
    """

    splits: Mapping[Split, SplitData]
    statistics: pd.DataFrame
    sampled: int
    new: Mapping[str, float]
    lacking: int


def card_data(settings: Settings, system: System, version: str | None) -> CardData | str:
    """What the training set of that version holds; why that is not known, in words."""
    if version is None:
        return "which training set it was trained on is not recorded"
    try:
        training_set = TrainingSets(settings, system).load(version)
        return read_data(system, training_set)
    except (MlAssetsError, OSError) as error:
        return f"its training set {version} cannot be read: {error}"


def read_data(system: System, training_set: TrainingSet) -> CardData:
    """Raises StateDamaged, or OSError if the file is gone."""
    numbers = [name for name in training_set.feature_names if name in training_set.columns]
    sample = training_set.sample(SAMPLE, numbers)
    return CardData(
        splits={split: _split(system, training_set, split) for split in get_args(Split)},
        statistics=describe(sample, numbers), sampled=len(sample),
        new={name: _unseen(training_set, name) for name in system.model.categories
             if name in training_set.columns},
        lacking=training_set.events_lacking)


def _split(system: System, training_set: TrainingSet, split: Split) -> SplitData:
    part, target = training_set.part(split), system.target
    codes, first, last = [np.empty(0)], None, None
    for table in part.tables(["label", "event_timestamp"]):
        labels = table["label"].combine_chunks().dictionary_encode()
        codes.append(target.codes(labels.dictionary.to_pylist()).take(labels.indices))
        ends = pc.min_max(table["event_timestamp"]).as_py()
        first = ends["min"] if first is None else min(first, ends["min"])
        last = ends["max"] if last is None else max(last, ends["max"])
    return SplitData(rows=len(part), labels=target.described(np.concatenate(codes)),
                     first=first, last=last)


def _unseen(training_set: TrainingSet, column: str) -> float:
    """The share of held-out rows with a value that no row of the training part has."""
    known = {value for table in training_set.part("train").tables([column])
             for value in table[column].unique().to_pylist()}
    held_out = training_set.part("holdout").table([column])[column].to_pylist()
    return sum(value not in known for value in held_out) / len(held_out) if held_out else 0.0
