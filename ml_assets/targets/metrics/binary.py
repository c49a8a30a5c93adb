"""What probabilities of True are worth, for many weightings of the rows at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ml_assets.core.data.metric import MeanOfShares
from ml_assets.core.data.subjects import Subjects
from ml_assets.core.target import Bools, Floats
from ml_assets.targets.cost import MISSES
from ml_assets.targets.metrics.calibration import FEW_WRONG, FEWEST_WRONG, OVERSTATED, bins
from ml_assets.targets.metrics.ranked import RecallWithin, precision_of_rows
from ml_assets.targets.metrics.top_precision import (
    FEW_DAYS,
    FEWEST_DAYS,
    MeasuredTop,
    added_by_days,
)

RATES = {"recall_at_fpr_0.5%": 0.005, "recall_at_fpr_1%": 0.01}
BY_RANK = ("roc_auc", "average_precision", *RATES)
FEWEST_ALARMS = 5
"""So many false ones must be allowed before a recall at their rate has an interval."""
FEWEST_TRUE = 10
"""Rows that are True below which an average precision has no interval: it is biased then."""
FEW_TRUE = f"fewer than {FEWEST_TRUE} of these rows are True"
FEWEST_MISSED = 10
"""Misses below which what misses cost has no interval: it is made by what these rows may lack."""
FEW_MISSED = f"fewer than {FEWEST_MISSED} of these rows are missed, and misses make it"
FEW_ALARMS = f"the rate allows fewer than {FEWEST_ALARMS} false alarms among these rows"


class MeasuredBinary:
    """N labels and one model's scores, see `core.data.metric.Measured`.

    labels_N: what came true; scores_N: probabilities of True, with their losses; decided_N: which
    rows are decided True; costs: what each row came to, (N,) by name; tops: by the metric's name;
    subjects: what the rows are about
    """

    def __init__(
        self, labels_N: Bools, scores_N: Floats, losses_N: Floats, *, decided_N: Bools,
        costs: Mapping[str, Floats], tops: Mapping[str, MeasuredTop], subjects: Subjects,
    ) -> None:
        self.rows = len(labels_N)
        self.positives = int(labels_N.sum())
        self.negatives = self.rows - self.positives
        found, alarms = (int((decided_N & rows_N).sum()) for rows_N in (labels_N, ~labels_N))
        self.shares = {"recall": (found, self.positives),
                       "false_positive_rate": (alarms, self.negatives)}
        self.contributions: dict[str, tuple[Floats, ...]] = {
            "log_loss": (losses_N,), "brier": ((scores_N - labels_N) ** 2,),
            **{name: (cost_N,) for name, cost_N in costs.items()}}
        # Who judges whole days knows that days differ.
        self.clustered: dict[str, Floats] = {} if not tops else {
            name: added_D for name, (values_N,) in self.contributions.items()
            for added_D in [added_by_days(values_N, subjects)] if added_D is not None}
        self.means: dict[str, MeanOfShares] = {}
        self.contributions |= {"recall": (decided_N[labels_N].astype(np.float64),),
                               "false_positive_rate": (decided_N[~labels_N].astype(np.float64),),
                               **{name: (top.daily,) for name, top in tops.items()}}
        if self.positives and self.negatives:
            self.contributions["roc_auc"] = _placements(scores_N[labels_N], scores_N[~labels_N])
            self.contributions["average_precision"] = (precision_of_rows(labels_N, scores_N),)
            for name, rate in RATES.items():
                if rate * self.negatives >= FEWEST_ALARMS:
                    within = RecallWithin.of(rate, scores_N[labels_N], scores_N[~labels_N])
                    self.means[name], self.contributions[name] = within.share, within.added
        # A share of alarms says something if some are allowed; an error of calibration is
        # overstated by any sample.
        wrong = self.positives - found + alarms
        self.unsure = {"calibration_error": OVERSTATED} | {
            name: FEW_ALARMS for name, rate in RATES.items()
            if rate * self.negatives < FEWEST_ALARMS
        } | (dict.fromkeys(("log_loss", "brier"), FEW_WRONG) if wrong < FEWEST_WRONG else {}) | (
            {"average_precision": FEW_TRUE} if self.positives < FEWEST_TRUE else {}) | {
            name: FEW_DAYS for name, top in tops.items() if len(top.daily) < FEWEST_DAYS} | (
            dict.fromkeys({"cost", MISSES} & set(costs), FEW_MISSED)
            if self.positives - found < FEWEST_MISSED else {})
        self._by_row = _columns(labels_N, scores_N, losses_N, decided_N)
        self._costs, self._tops = costs, tops
        self._order = np.argsort(-scores_N, kind="stable")
        # Equal scores cannot be told apart by any threshold: they count as one step.
        self._starts = np.flatnonzero(np.diff(scores_N[self._order], prepend=np.inf))
        self._is_true = labels_N.astype(np.float64)
        self._true = labels_N[self._order].astype(np.float64)

    def measure(self, weights_RN: Floats) -> dict[str, Floats]:
        """See `core.data.metric.Measured`.

        roc_auc, average_precision: as in scikit-learn, ties included.
        recall_at_fpr_x%: the highest recall at any threshold whose false positive rate is at
            most x.
        calibration_error: mean of |mean score - share of True| over equally filled bins of
            the scores, weighted by their rows (adaptive expected calibration error; Nixon et
            al., "Measuring Calibration in Deep Learning", 2019).
        costs: of a row.
        """
        none = np.full(len(weights_RN), np.nan)
        sums_RC = weights_RN @ self._by_row
        true_R = weights_RN @ self._is_true
        false_R = weights_RN.sum(axis=1) - true_R
        by_rank = self._by_rank(weights_RN[:, self._order]) \
            if self.positives and self.negatives else dict.fromkeys(BY_RANK, none)
        return {
            "log_loss": sums_RC[:, 0] / self.rows if self.rows else none,
            "brier": sums_RC[:, 1] / self.rows if self.rows else none,
            "calibration_error": np.abs(sums_RC[:, 4:]).sum(axis=1) / self.rows
            if self.rows else none,
            "recall": _ratio(sums_RC[:, 2], true_R),
            "false_positive_rate": _ratio(sums_RC[:, 3], false_R),
            **by_rank,
            **{name: weights_RN @ cost_N / self.rows if self.rows else none
               for name, cost_N in self._costs.items()},
            **{name: top.measure(weights_RN) for name, top in self._tops.items()},
        }

    def _by_rank(self, weights_RN: Floats) -> dict[str, Floats]:
        """What depends only on the order of the scores; weights from the highest score on."""
        true_RU = np.add.reduceat(weights_RN * self._true, self._starts, axis=1)
        false_RU = np.add.reduceat(weights_RN, self._starts, axis=1) - true_RU
        found_RU, alarms_RU = np.cumsum(true_RU, axis=1), np.cumsum(false_RU, axis=1)
        all_R, false_R = found_RU[:, -1], alarms_RU[:, -1]
        flagged_RU = np.maximum(found_RU + alarms_RU, 1)
        ordered_R = np.einsum("ru,ru->r", false_RU, found_RU - 0.5 * true_RU)
        precise_R = np.einsum("ru,ru->r", true_RU, found_RU / flagged_RU)
        ranked = {
            "roc_auc": _ratio(ordered_R, all_R * false_R),
            "average_precision": _ratio(precise_R, all_R),
            **{name: _recall_within(rate, found_RU, alarms_RU)
               for name, rate in RATES.items()},
        }
        both_R = (all_R > 0) & (false_R > 0)
        return {name: np.where(both_R, values_R, np.nan) for name, values_R in ranked.items()}


def _recall_within(rate: float, found_RU: Floats, alarms_RU: Floats) -> Floats:
    # A product such as 0.01 * 300 may come out a rounding error below 3.
    within_RU = alarms_RU <= rate * alarms_RU[:, -1:] + 1e-9
    found_R: Floats = np.where(within_RU, found_RU, 0).max(axis=1)
    return _ratio(found_R, found_RU[:, -1])


def _ratio(parts_R: Floats, wholes_R: Floats) -> Floats:
    """NaN where the whole is 0."""
    ratio_R: Floats = np.divide(parts_R, wholes_R, out=np.full(len(parts_R), np.nan),
                                where=wholes_R > 0)
    return ratio_R


def _placements(true_P: Floats, false_Q: Floats) -> tuple[Floats, Floats]:
    """Of each row the share of rows with the other label that it is rightly told apart from."""
    return _below(true_P, false_Q), 1 - _below(false_Q, true_P)


def _below(values: Floats, others: Floats) -> Floats:
    """The share of `others` below each value, of equal ones half."""
    ordered = np.sort(others)
    sides = [np.searchsorted(ordered, values, side=side) for side in ("left", "right")]
    share: Floats = (sides[0] + sides[1]) / (2 * len(others))
    return share


def _columns(labels_N: Bools, scores_N: Floats, losses_N: Floats, decided_N: Bools) -> Floats:
    """What is summed over rows, (N, 4 + bins): losses, decisions, excess score in each bin."""
    excess_N, bin_N = scores_N - labels_N, bins(scores_N)
    columns = np.zeros((len(labels_N), 4 + int(bin_N.max(initial=-1)) + 1))
    columns[:, 0] = losses_N
    columns[:, 1] = excess_N**2
    columns[:, 2] = labels_N & decided_N
    columns[:, 3] = ~labels_N & decided_N
    columns[np.arange(len(labels_N)), 4 + bin_N] = excess_N
    return columns
