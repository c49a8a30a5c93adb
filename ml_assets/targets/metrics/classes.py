"""What probabilities of several classes are worth, for many weightings of the rows at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ml_assets.core.data.metric import MeanOfShares
from ml_assets.core.target import Floats, Whole
from ml_assets.targets.metrics.calibration import FEW_WRONG, FEWEST_WRONG, OVERSTATED, bins


class MeasuredClasses:
    """N true classes and a model's probabilities of K classes, see `core.data.metric.Measured`."""

    def __init__(self, true_N: Whole, shares_NK: Floats, losses_N: Floats) -> None:
        self.rows, self._classes = shares_NK.shape
        decided_N = shares_NK.argmax(axis=1)
        right_N = decided_N == true_N
        self.shares = {"accuracy": (int(right_N.sum()), self.rows)}
        errors_N = np.square(shares_NK).sum(axis=1) + 1 - 2 * shares_NK[
            np.arange(self.rows), true_N]
        self.contributions: dict[str, tuple[Floats, ...]] = {
            "log_loss": (losses_N,), "brier": (errors_N,), "accuracy": (right_N.astype(float),)}
        self.means: dict[str, MeanOfShares] = {}
        self.clustered: dict[str, Floats] = {}
        if self.rows:
            for name, (mean, added_N) in self._macro(true_N, decided_N).items():
                self.means[name], self.contributions[name] = mean, (added_N,)
        self.unsure = {"calibration_error": OVERSTATED} | (
            dict.fromkeys(("log_loss", "brier"), FEW_WRONG)
            if (~right_N).sum() < FEWEST_WRONG else {})
        self._cell_N = true_N * self._classes + decided_N
        self._by_row = _columns(true_N, shares_NK, losses_N, right_N.astype(np.float64))

    def _macro(self, true_N: Whole, decided_N: Whole) -> dict[str, tuple[MeanOfShares, Floats]]:
        """By metric: its shares, and what each row adds.

        The F1 score of a class is 2 j / (1 + j) of the share j of the rows that are of the class or
        decided for it which are both.
        """
        of_NK, for_NK = (each_N[:, None] == np.arange(self._classes) for each_N in (
            true_N, decided_N))
        there_K, either_K = of_NK.any(axis=0), (of_NK | for_NK).any(axis=0)
        both_NK, any_NK = (of_NK & for_NK)[:, either_K], (of_NK | for_NK)[:, either_K]
        weight_NK = (of_NK.astype(float) + for_NK)[:, either_K]
        return {
            "macro_recall": _mean_of(
                2 * (of_NK & for_NK)[:, there_K], 2.0 * of_NK[:, there_K],
                MeanOfShares(hits=(of_NK & for_NK).sum(axis=0)[there_K].astype(float),
                             trials=of_NK.sum(axis=0)[there_K].astype(float),
                             alike=np.eye(int(there_K.sum())))),
            "macro_f1": _mean_of(2 * both_NK, weight_NK, MeanOfShares(
                hits=both_NK.sum(axis=0).astype(float), trials=any_NK.sum(axis=0).astype(float),
                alike=np.eye(int(either_K.sum())), turned=_f1)),
        }

    def measure(self, weights_RN: Floats) -> dict[str, Floats]:
        """See `core.data.metric.Measured`.

        brier: the summed squares of a row's K errors.
        calibration_error: mean of |mean probability of the class decided for - share of it that
            is right| over equally filled bins, weighted by their rows.
        macro_recall: the mean recall of the classes that occur.
        macro_f1: the mean F1 score of the classes that occur or are decided for.
        """
        if not self.rows:
            none = np.full(len(weights_RN), np.nan)
            return dict.fromkeys(("log_loss", "brier", "calibration_error", "accuracy",
                                  "macro_recall", "macro_f1"), none)
        sums_RC = weights_RN @ self._by_row
        size = self._classes**2
        confusion_RKK = np.array([
            np.bincount(self._cell_N, weights_N, minlength=size) for weights_N in weights_RN
        ]).reshape(-1, self._classes, self._classes)
        right_RK = np.einsum("rkk->rk", confusion_RKK)
        true_RK, decided_RK = confusion_RKK.sum(axis=2), confusion_RKK.sum(axis=1)
        return {
            "log_loss": sums_RC[:, 0] / self.rows,
            "brier": sums_RC[:, 1] / self.rows,
            "calibration_error": np.abs(sums_RC[:, 2:]).sum(axis=1) / self.rows,
            "accuracy": right_RK.sum(axis=1) / self.rows,
            "macro_recall": _mean_ratio(right_RK, true_RK),
            "macro_f1": _mean_ratio(2 * right_RK, true_RK + decided_RK),
        }


def _mean_of(
    parts_NK: Floats, wholes_NK: Floats, shares: MeanOfShares
) -> tuple[MeanOfShares, Floats]:
    """The shares and how they move together, and what each row adds to the mean of K ratios."""
    sums_K = wholes_NK.sum(axis=0)
    ratio_K = parts_NK.sum(axis=0) / sums_K
    added_NK = (parts_NK - ratio_K * wholes_NK) * len(parts_NK) / sums_K
    norms_K = np.sqrt((added_NK**2).sum(axis=0))
    unit_NK = added_NK / np.where(norms_K > 0, norms_K, 1)
    alike = unit_NK.T @ unit_NK
    np.fill_diagonal(alike, 1.0)
    return replace(shares, alike=alike), ratio_K.mean() + added_NK.mean(axis=1)


def _f1(shares: Floats) -> Floats:
    return 2 * shares / (1 + shares)


def _mean_ratio(parts_RK: Floats, wholes_RK: Floats) -> Floats:
    """The mean of the ratios of classes that there are, (R,)."""
    there_RK = wholes_RK > 0
    ratios_RK = np.divide(parts_RK, wholes_RK, out=np.zeros_like(parts_RK), where=there_RK)
    means_R: Floats = ratios_RK.sum(axis=1) / there_RK.sum(axis=1)
    return means_R


def _columns(true_N: Whole, shares_NK: Floats, losses_N: Floats, right_N: Floats) -> Floats:
    """What is summed over rows, (N, 2 + bins): losses, excess probability in each bin."""
    rows = np.arange(len(true_N))
    errors_NK = shares_NK.copy()
    errors_NK[rows, true_N] -= 1
    chosen_N = shares_NK.max(axis=1)
    bin_N = bins(chosen_N)
    columns = np.zeros((len(true_N), 2 + int(bin_N.max(initial=-1)) + 1))
    columns[:, 0] = losses_N
    columns[:, 1] = np.square(errors_NK).sum(axis=1)
    columns[rows, 2 + bin_N] = chosen_N - right_N
    return columns
