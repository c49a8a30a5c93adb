"""What is wrong with a training set, and what its columns look like."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.features.training_sets.leakage import find_leaks
from ml_assets.features.training_sets.statistics import dead, describe
from ml_assets.features.training_sets.training_set import TrainingSet


@dataclass(frozen=True, kw_only=True)
class Examination:
    """late: labels that were known at or after the instant of building
    examined: how many rows were examined for leaks
    leaking: ids of those with a feature that the past alone does not give
    unseen: the share of leaking rows from which on the examination finds one, see `Leaks.unseen`
    positives, rows: how many there are, by split
    statistics: see `statistics.describe`; dead: the features that tell nothing
    unknown: the share of feature values that are missing
    """

    late: int
    examined: int
    leaking: list[str]
    unseen: float
    positives: dict[str, int]
    rows: dict[str, int]
    statistics: pd.DataFrame
    dead: list[str]
    unknown: float

    @property
    def both_classes(self) -> bool:
        """Whether each of the two splits holds positives and negatives."""
        return len(self.rows) == 2 and all(
            0 < self.positives[split] < rows for split, rows in self.rows.items())


def examine(settings: Settings, system: System, built: TrainingSet) -> Examination:
    """Look at each row and column of a training set that has just been built."""
    rows = built.rows
    leaks = find_leaks(settings, system, rows)
    statistics = describe(rows, built.feature_names)
    labels = rows.groupby("split")["label"]
    return Examination(
        late=int((rows["known_at"] >= built.as_of).sum()),
        examined=int(leaks.examined.sum()),
        leaking=rows.loc[leaks.leaking, "event_id"].tolist(),
        unseen=leaks.unseen,
        positives={str(split): int(count) for split, count in labels.sum().items()},
        rows={str(split): int(count) for split, count in labels.count().items()},
        statistics=statistics,
        dead=dead(statistics),
        unknown=float(rows[list(built.feature_names)].isna().to_numpy().mean()),
    )
