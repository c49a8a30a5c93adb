"""What is wrong with a training set, and what its columns look like."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.features.training_sets.leakage import leaking_rows
from ml_assets.features.training_sets.statistics import dead, describe
from ml_assets.features.training_sets.training_set import TrainingSet


@dataclass(frozen=True, kw_only=True)
class Examination:
    """late: labels that were known at or after the instant of building
    leaking: ids of events with a feature that the past alone does not give
    positives, rows: how many there are, by split
    statistics: see `statistics.describe`; dead: the features that tell nothing
    unknown: the share of feature values that are missing
    """

    late: int
    leaking: list[str]
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
    statistics = describe(rows, built.feature_names)
    labels = rows.groupby("split")["label"]
    return Examination(
        late=int((rows["known_at"] >= built.as_of).sum()),
        leaking=rows.loc[leaking_rows(settings, system, rows), "event_id"].tolist(),
        positives={str(split): int(count) for split, count in labels.sum().items()},
        rows={str(split): int(count) for split, count in labels.count().items()},
        statistics=statistics,
        dead=dead(statistics),
        unknown=float(rows[list(built.feature_names)].isna().to_numpy().mean()),
    )
