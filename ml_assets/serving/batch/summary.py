"""What is told of many scores that were never all in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml_assets.serving.batch.tables import Agreement

MOST_KEPT = 40_000
"""Scores for a picture; of more an even choice."""
SHOWN = 5
"""Rows of the preview."""


@dataclass(kw_only=True)
class ScoreSummary:
    """Holds so many scores at most, however many there are.

    preview: the first rows, without their features; compared, differing: see `Agreement`
    """

    rows: int = 0
    kept: list[npt.NDArray[np.float64]] = field(default_factory=list)
    every: int = 1
    preview: pd.DataFrame = field(default_factory=pd.DataFrame)
    compared: int = 0
    differing: int = 0

    def add(self, rows: pd.DataFrame, found: Agreement) -> None:
        """Some more rows of `batch_schema`, and how they compare with what was served."""
        if self.rows < SHOWN:
            shown = rows.head(SHOWN - self.rows).drop(columns=["features", "feature_names"])
            self.preview = pd.concat([self.preview, shown], ignore_index=True) if self.rows \
                else shown
        first = -self.rows % self.every
        self.kept.append(rows["score"].to_numpy(np.float64)[first :: self.every])
        self.rows += len(rows)
        if sum(map(len, self.kept)) > MOST_KEPT:
            self.kept, self.every = [self.scores()[::2]], 2 * self.every
        self.compared += found.compared
        self.differing += found.differing

    def extend(self, later: ScoreSummary) -> None:
        """What is told of later rows, which have a summary of their own.

        Up to `MOST_KEPT` rows it is what adding them would give; of more the choice is as even.
        """
        if self.rows < SHOWN:
            self.preview = pd.concat([self.preview, later.preview.head(SHOWN - self.rows)],
                                     ignore_index=True) if self.rows else later.preview
        every = max(self.every, later.every)
        self.kept = [self.scores()[:: every // self.every],
                     later.scores()[:: every // later.every]]
        self.every = every
        self.rows += later.rows
        while sum(map(len, self.kept)) > MOST_KEPT:
            self.kept, self.every = [self.scores()[::2]], 2 * self.every
        self.compared += later.compared
        self.differing += later.differing

    def scores(self) -> npt.NDArray[np.float64]:
        """Those that were kept: every first, every second, every fourth ... of all."""
        return np.concatenate([np.empty(0), *self.kept])
