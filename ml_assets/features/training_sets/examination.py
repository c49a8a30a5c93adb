"""What is wrong with a training set, and what its columns look like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.features.training_sets.leakage import find_leaks
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
    """Look at each row and column of a training set that has just been built."""
    rows = built.rows
    leaks = find_leaks(settings, system, rows)
    statistics = describe(rows, built.feature_names)
    codes = {str(split): system.target.codes(part.tolist())
             for split, part in rows.groupby("split")["label"]}
    return Examination(
        late=int((rows["known_at"] >= built.as_of).sum()),
        examined=int(leaks.examined.sum()),
        leaking=rows.loc[leaks.leaking, "event_id"].tolist(),
        unseen=leaks.unseen,
        rows={split: len(part) for split, part in codes.items()},
        labels={split: system.target.described(part) for split, part in codes.items()},
        varied=len(codes) == 2 and all(len(np.unique(part)) > 1 for part in codes.values()),
        statistics=statistics,
        dead=dead(statistics),
        unknown=float(rows[list(built.feature_names)].isna().to_numpy().mean()),
    )
