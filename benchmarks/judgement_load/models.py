"""Two models of a binary label whose true accuracies are known, on rows without end.

A label is True in three of ten rows. Each model sees it through noise of its own and through noise
that both share: two models that learnt from the same rows make most of their mistakes together.
Their probabilities are calibrated, so accuracy and log loss tell the same story.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from ml_assets.core.target import Floats

POSITIVE = 0.3
ACCURACY = 0.965
TOGETHER = 0.8
"""The correlation of the two models' noise."""
PART = 0.1
"""The share of rows that are of the slice."""
HELD_OUT = 400
"""Rows that the bound of a loss is learnt from."""


@dataclass(frozen=True, kw_only=True)
class Two:
    """A champion of `accuracy` and a challenger that is `better` points better, on the slice
    `better_on_slice` (as shares)."""

    accuracy: float = ACCURACY
    better: float = 0.0
    better_on_slice: float | None = None
    together: float = TOGETHER

    def draw(
        self, rows: int, generator: np.random.Generator
    ) -> tuple[Floats, Floats, Floats, npt.NDArray[np.bool_]]:
        """Codes (N,), probabilities (N, 1) of champion and challenger, membership of the slice."""
        codes_N = (generator.random(rows) < POSITIVE).astype(float)
        member_N = generator.random(rows) < PART
        own = np.full(rows, self.accuracy + self.better)
        if self.better_on_slice is not None:
            own[member_N] = self.accuracy + self.better_on_slice
        shared_N, *alone = generator.normal(size=(3, rows))
        answers = []
        for accuracies_N, alone_N in zip((np.full(rows, self.accuracy), own), alone, strict=True):
            edge_N = _edges(accuracies_N)
            noise_N = np.sqrt(self.together) * shared_N + np.sqrt(1 - self.together) * alone_N
            logit_N = 2 * edge_N * (edge_N * (2 * codes_N - 1) + noise_N)
            answers.append((1 / (1 + np.exp(-logit_N)))[:, None])
        return codes_N, answers[0], answers[1], member_N


def _edges(accuracies_N: Floats) -> Floats:
    """By how many standard deviations of the noise a label moves what the model sees."""
    normal, edges_N = NormalDist(), np.empty(len(accuracies_N))
    for accuracy in np.unique(accuracies_N):
        edges_N[accuracies_N == accuracy] = normal.inv_cdf(float(accuracy))
    return edges_N
