"""What predicted quantities are worth, for many weightings of the rows at once."""

from __future__ import annotations

import numpy as np

from ml_assets.core.target import Bools, Floats

NAMES = ("squared_error", "rmse", "mae", "r2", "bias", "within_tolerance")


class MeasuredNumber:
    """N true values and one model's predictions, see `core.target.Measured`.

    within_N: which predictions are close enough
    """

    def __init__(self, true_N: Floats, predicted_N: Floats, within_N: Bools) -> None:
        self.rows = len(true_N)
        self.shares = {"within_tolerance": (int(within_N.sum()), self.rows)}
        excess_N = predicted_N - true_N
        # Around their mean, so that the squares lose no digits.
        centred_N = true_N - (true_N.mean() if self.rows else 0)
        self._by_row = np.stack([
            excess_N**2, np.abs(excess_N), excess_N, centred_N, centred_N**2, within_N,
        ], axis=1)

    def measure(self, weights_RN: Floats) -> dict[str, Floats]:
        """See `core.target.Measured`.

        bias: the mean of prediction minus truth.
        r2: 1 - squared error / variance of the truth; undefined if that is 0.
        """
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
