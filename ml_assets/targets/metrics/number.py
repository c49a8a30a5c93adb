"""What predicted quantities are worth, for many weightings of the rows at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ml_assets.core.data.metric import MeanOfShares
from ml_assets.core.target import Bools, Floats

NAMES = ("squared_error", "rmse", "mae", "r2", "bias", "within_tolerance")
FEW_LARGE = "of quantities of any size a few of the largest decide it"
"""Why squares have none if errors count in proportion: their mean may not even be finite."""


class MeasuredNumber:
    """N true values and one model's predictions, see `core.data.metric.Measured`.

    within_N: which predictions are close enough
    ends: (N, 2), the lower and upper ends of the intervals, NaN for a row without; (N, 0) if the
        model gives none
    others: (N,) by name, losses of relative errors: of these the mean is a metric too
    """

    def __init__(
        self, true_N: Floats, predicted_N: Floats, within_N: Bools, ends: Floats,
        others: Mapping[str, Floats],
    ) -> None:
        self.rows, self._others = len(true_N), others
        self.shares = {"within_tolerance": (int(within_N.sum()), self.rows)}
        self._intervals: Floats | None = None
        self.contributions: dict[str, tuple[Floats, ...]] = {}
        self.means: dict[str, MeanOfShares] = {}
        self.clustered: dict[str, Floats] = {}
        if ends.shape[1]:
            lower_N, upper_N = ends.T
            known_N = ~np.isnan(lower_N)
            holds_N = (lower_N <= true_N) & (true_N <= upper_N)
            width_N = np.where(known_N, upper_N - lower_N, 0)
            self._intervals = np.stack([known_N, holds_N, width_N], axis=1).astype(np.float64)
            self.shares["coverage"] = (int(holds_N.sum()), int(known_N.sum()))
            self.contributions = {"coverage": (holds_N[known_N].astype(float),),
                                  "width": (width_N[known_N],)}
        excess_N = predicted_N - true_N
        self.contributions |= {
            "within_tolerance": (within_N.astype(float),),
            "squared_error": (excess_N**2,), "mae": (np.abs(excess_N),), "bias": (excess_N,),
            **{name: (values_N,) for name, values_N in others.items()}}
        self.unsure: dict[str, str] = dict.fromkeys(
            ("squared_error", "rmse", "r2", "bias"), FEW_LARGE) if others else {}
        # Around their mean, so that the squares lose no digits.
        centred_N = true_N - (true_N.mean() if self.rows else 0)
        self._by_row = np.stack([
            excess_N**2, np.abs(excess_N), excess_N, centred_N, centred_N**2, within_N,
        ], axis=1)
        spread = float(np.mean(centred_N**2)) if self.rows else 0.0
        if spread > 0:  # linearised: what a row adds to the ratio of two means
            ratio = float(np.mean(excess_N**2)) / spread
            self.contributions["r2"] = (
                1 - ratio - (excess_N**2 - ratio * centred_N**2) / spread,)

    def measure(self, weights_RN: Floats) -> dict[str, Floats]:
        """See `core.data.metric.Measured`.

        bias: the mean of prediction minus truth.
        r2: 1 - squared error / variance of the truth; undefined if that is 0.
        coverage, width: the share of intervals that hold the truth, and their mean width; of the
            rows that have an interval.
        """
        others = {name: weights_RN @ values_N / self.rows if self.rows else
                  np.full(len(weights_RN), np.nan) for name, values_N in self._others.items()}
        return {**others, **self._of_values(weights_RN), **self._of_intervals(weights_RN)}

    def _of_intervals(self, weights_RN: Floats) -> dict[str, Floats]:
        if self._intervals is None:
            return {}
        known_R, holds_R, width_R = (weights_RN @ self._intervals).T
        none = np.full_like(known_R, np.nan)
        return {name: np.divide(sum_R, known_R, out=none.copy(), where=known_R > 0)
                for name, sum_R in (("coverage", holds_R), ("width", width_R))}

    def _of_values(self, weights_RN: Floats) -> dict[str, Floats]:
        if not self.rows:
            return dict.fromkeys(NAMES, np.full(len(weights_RN), np.nan))
        means_RC = weights_RN @ self._by_row / self.rows
        squares_R, sizes_R, excess_R, centre_R, spread_R, within_R = means_RC.T
        variance_R = spread_R - centre_R**2
        unexplained_R = np.divide(squares_R, variance_R, out=np.full_like(squares_R, np.nan),
                                  where=variance_R > 1e-12 * np.maximum(spread_R, 1e-300))
        return {
            "squared_error": squares_R, "rmse": np.sqrt(squares_R), "mae": sizes_R,
            "r2": 1 - unexplained_R, "bias": excess_R, "within_tolerance": within_R,
        }
