"""What is told of many scores that were never all in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml_assets.serving.batch.tables import Agreement

BINS = 40
SHOWN = 5
"""Rows of the preview."""


def histogram(scores: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """How many of the scores lie in each of BINS equal parts of [0, 1]."""
    counts, _ = np.histogram(scores, bins=BINS, range=(0, 1))
    return counts.astype(np.int64)


@dataclass(kw_only=True)
class ScoreSummary:
    """Grows with the number of bins, not of scores.

    counts: see `histogram`; preview: the first rows, without their features
    compared, differing: see `Agreement`
    """

    rows: int = 0
    positives: int = 0
    counts: npt.NDArray[np.int64] = field(default_factory=lambda: histogram([]))
    preview: pd.DataFrame = field(default_factory=pd.DataFrame)
    compared: int = 0
    differing: int = 0

    def add(self, rows: pd.DataFrame, found: Agreement) -> None:
        """Some more rows of `batch_schema`, and how they compare with what was served."""
        if self.rows < SHOWN:
            shown = rows.head(SHOWN - self.rows).drop(columns=["features", "feature_names"])
            self.preview = pd.concat([self.preview, shown], ignore_index=True) if self.rows \
                else shown
        self.rows += len(rows)
        self.positives += int(rows["decision"].sum())
        self.counts += histogram(rows["score"])
        self.compared += found.compared
        self.differing += found.differing
