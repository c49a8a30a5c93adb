"""What is wrong with a training set, and what its columns look like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.target import Floats
from ml_assets.features.training_sets import LARGEST_SAMPLE
from ml_assets.features.training_sets.leakage import find_leaks, sample, unseen
from ml_assets.features.training_sets.statistics import dead, describe
from ml_assets.features.training_sets.stored import TrainingSet


@dataclass(frozen=True, kw_only=True)
class Examination:
    """late: labels that were known at or after the instant of building
    examined: how many rows were examined for leaks
    leaking: ids of those with a feature that the past alone does not give
    unseen: the share of leaking rows from which on the examination finds one, see `Leaks.unseen`
    rows: how many there are, by split; labels: what these are, in words, by split
    varied: whether each of the two splits holds labels that can be told apart
    statistics: see `statistics.describe`; dead: the features that tell nothing
    unknown: the share of feature values that are missing
    """

    late: int
    examined: int
    leaking: list[str]
    unseen: float
    rows: dict[str, int]
    labels: dict[str, str]
    varied: bool
    statistics: pd.DataFrame
    dead: list[str]
    unknown: float


def examine(settings: Settings, system: System, built: TrainingSet) -> Examination:
    """Look at each row and each column of a training set that has just been built.

    In memory are one column of all rows, or some columns of a few.
    """
    examined = sample(built.event_ids(), LARGEST_SAMPLE)
    rows = built.chosen(examined)
    leaking = find_leaks(settings, system, rows).leaking
    statistics = pd.concat(
        [describe(built.column(name), [name]) for name in built.feature_names], ignore_index=True)
    late, codes = _labels(system, built)
    return Examination(
        late=late,
        examined=len(rows),
        leaking=rows.loc[leaking, "event_id"].tolist(),
        unseen=unseen(examined),
        rows={split: len(part) for split, part in codes.items()},
        labels={split: system.target.described(part) for split, part in codes.items()},
        varied=len(codes) == 2 and all(len(np.unique(part)) > 1 for part in codes.values()),
        statistics=statistics,
        dead=dead(statistics),
        unknown=float(statistics["missing"].mean()),
    )


def _labels(system: System, built: TrainingSet) -> tuple[int, dict[str, Floats]]:
    """How many labels were known too late, and the codes of all, by split."""
    late, found = 0, dict[str, list[Floats]]()
    for rows in built.frames(["label", "known_at", "split"]):
        late += int((rows["known_at"] >= built.as_of).sum())
        for split, part in rows.groupby("split")["label"]:
            found.setdefault(str(split), []).append(system.target.codes(part.tolist()))
    return late, {split: np.concatenate(found[split]) for split in sorted(found)}
