"""Performance before labels: what the answers of the last days will have lost, as it looks now.

How much a model loses on a row is in how sure it is of it. On its held-out rows both are known:
their mean loss, by tenths of the score, says what live rows of the same score are expected to lose.
For probabilities this is the estimate by confidence (CBPE), with the calibration that the held-out
rows show; it needs nothing of the target but a score and one loss a row, so numbers have it too
(direct loss estimation, as in NannyML; Garg et al., "Leveraging unlabeled data to predict
out-of-distribution performance", ICLR 2022). It sees what is asked, not what comes true: an
estimate that holds while the truth falls is concept drift.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from ml_assets.core.target import Floats
from ml_assets.evaluation.comparison import Estimate
from ml_assets.monitoring.drift.bins import NumberBins

FEWEST = 100
"""Held-out rows that an estimate rests on."""


@dataclass(frozen=True, kw_only=True)
class ExpectedLoss:
    """days: of answers that it is about; n: how many; loss: the mean loss of a row to be expected,
    with the interval within which the truth lies with 95% if scores mean what they meant."""

    days: int
    n: int
    loss: Estimate


def expected_loss(
    held_scores_N: Floats, held_losses_N: Floats, live_scores_M: Floats, *, days: int
) -> ExpectedLoss | None:
    """Of M live answers; None of none, or of too few held-out rows.

    held_scores_N, held_losses_N: of held-out rows (h,) each
    """
    if len(held_scores_N) < FEWEST or not len(live_scores_M):
        return None
    bins = NumberBins.of(held_scores_N)
    place_N, place_M = bins.places(held_scores_N), bins.places(live_scores_M)
    width = len(bins.names)
    # Scores beyond all that were held out lose what the outermost of these did.
    place_M = np.clip(place_M, place_N.min(), place_N.max())
    rows_B = np.bincount(place_N, minlength=width).astype(np.float64)
    live_B = np.bincount(place_M, minlength=width) / len(live_scores_M)
    some = rows_B > 0
    mean_B = np.where(some, np.bincount(place_N, held_losses_N, minlength=width)
                      / np.maximum(rows_B, 1), float(held_losses_N.mean()))
    square_B = np.bincount(place_N, held_losses_N**2, minlength=width) / np.maximum(rows_B, 1)
    variance_B = np.where(rows_B > 1, square_B - mean_B**2, float(held_losses_N.var()))
    value = float(live_B @ mean_B)
    learnt = float(live_B**2 @ (variance_B / np.maximum(rows_B, 1)))
    drawn = float(live_B @ variance_B) / len(live_scores_M)
    reach = 1.96 * sqrt(max(0.0, learnt + drawn))
    lowest = float(held_losses_N.min())
    return ExpectedLoss(days=days, n=len(live_scores_M), loss=Estimate(
        value=value, low=max(min(lowest, value), value - reach), high=value + reach))
