"""What scores are worth: every metric of `core.policies.Metric`, for many weightings at once.

A weighting says how often each row counts, so one call measures a sample and many of its
bootstrap resamples. NaN stands for what cannot be computed, such as the recall of a sample
without positives.
"""

from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt

from ml_assets.core.policies import Metric
from ml_assets.evaluation.calibration import bins

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]

METRICS: tuple[Metric, ...] = get_args(Metric)
SMALLEST = float(np.finfo(np.float64).eps)
"""Scores are kept this far from 0 and 1 in logarithms, as in scikit-learn's `log_loss`."""


class Sample:
    """N labels and one model's scores, prepared to be measured under any weighting.

    labels_N: what came true; scores_N: probabilities of True; a row is decided True if its
    score is at least `threshold`.
    """

    def __init__(self, labels_N: Labels, scores_N: Floats, *, threshold: float) -> None:
        self.rows = len(labels_N)
        self.positives = int(labels_N.sum())
        self.negatives = self.rows - self.positives
        self._by_row = _columns(labels_N, scores_N, threshold)
        self._order = np.argsort(-scores_N, kind="stable")
        # Equal scores cannot be told apart by any threshold: they count as one step.
        self._starts = np.flatnonzero(np.diff(scores_N[self._order], prepend=np.inf))
        self._true = labels_N[self._order].astype(np.float64)

    def measure(self, weights_RN: Floats) -> dict[Metric, Floats]:
        """Each metric under each of R weightings, (R,).

        Weights count rows; each weighting keeps the sums of both classes (whole samples and
        stratified resamples do).

        roc_auc, average_precision: as in scikit-learn, ties included.
        recall_at_fpr_x%: the highest recall at any threshold whose false positive rate is at
            most x.
        calibration_error: mean of |mean score - share of True| over equally filled bins of
            the scores, weighted by their rows (adaptive expected calibration error; Nixon et
            al., "Measuring Calibration in Deep Learning", 2019).
        """
        measured: dict[Metric, Floats] = dict.fromkeys(METRICS, np.full(len(weights_RN), np.nan))
        if self.rows:
            sums_RC = weights_RN @ self._by_row
            measured["log_loss"] = sums_RC[:, 0] / self.rows
            measured["brier"] = sums_RC[:, 1] / self.rows
            measured["calibration_error"] = np.abs(sums_RC[:, 4:]).sum(axis=1) / self.rows
            if self.positives:
                measured["recall"] = sums_RC[:, 2] / self.positives
            if self.negatives:
                measured["false_positive_rate"] = sums_RC[:, 3] / self.negatives
        if self.positives and self.negatives:
            measured |= self._by_rank(weights_RN[:, self._order])
        return measured

    def _by_rank(self, weights_RN: Floats) -> dict[Metric, Floats]:
        """What depends only on the order of the scores; weights from the highest score on."""
        true_RU = np.add.reduceat(weights_RN * self._true, self._starts, axis=1)
        false_RU = np.add.reduceat(weights_RN, self._starts, axis=1) - true_RU
        found_RU, alarms_RU = np.cumsum(true_RU, axis=1), np.cumsum(false_RU, axis=1)
        flagged_RU = np.maximum(found_RU + alarms_RU, 1)
        ordered_R = np.einsum("ru,ru->r", false_RU, found_RU - 0.5 * true_RU)
        precise_R = np.einsum("ru,ru->r", true_RU, found_RU / flagged_RU)
        return {
            "roc_auc": ordered_R / (self.positives * self.negatives),
            "average_precision": precise_R / self.positives,
            "recall_at_fpr_0.5%": self._recall_within(0.005, found_RU, alarms_RU),
            "recall_at_fpr_1%": self._recall_within(0.01, found_RU, alarms_RU),
        }

    def _recall_within(self, rate: float, found_RU: Floats, alarms_RU: Floats) -> Floats:
        # A product such as 0.01 * 300 may come out a rounding error below 3.
        within_RU = alarms_RU <= rate * self.negatives + 1e-9
        found_R: Floats = np.where(within_RU, found_RU, 0).max(axis=1)
        return found_R / self.positives


def _columns(labels_N: Labels, scores_N: Floats, threshold: float) -> Floats:
    """What is summed over rows, (N, 4 + bins): losses, decisions, excess score in each bin."""
    decided_N = scores_N >= threshold
    inner_N = np.clip(scores_N, SMALLEST, 1 - SMALLEST)
    excess_N = scores_N - labels_N
    columns = np.zeros((len(labels_N), 4 + int(bins(scores_N).max(initial=-1)) + 1))
    columns[:, 0] = -np.log(np.where(labels_N, inner_N, 1 - inner_N))
    columns[:, 1] = excess_N**2
    columns[:, 2] = labels_N & decided_N
    columns[:, 3] = ~labels_N & decided_N
    columns[np.arange(len(labels_N)), 4 + bins(scores_N)] = excess_N
    return columns
