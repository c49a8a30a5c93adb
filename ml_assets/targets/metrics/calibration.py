"""Whether a score of 0.8 comes true in 80 of 100 cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BINS = 10
FEWEST_WRONG = 5
"""Mistakes below which the mean loss of probabilities has no interval: it is made by what these
rows may lack."""
OVERSTATED = "any sample overstates it"
FEW_WRONG = f"fewer than {FEWEST_WRONG} of these rows are answered wrong, and such losses make it"
"""Why a calibration error, and the mean loss of probabilities, have none."""
Z95 = 1.959963984540054
"""The 97.5% quantile of the normal distribution."""


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Per bin of scores, (K,): rows, mean score, share of True and its 95% interval."""

    rows: npt.NDArray[np.int64]
    mean_score: npt.NDArray[np.float64]
    share: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]


def bins(scores_N: npt.NDArray[np.float64], count: int = BINS) -> npt.NDArray[np.int64]:
    """The bin of each row, from 0 on without gaps: at most `count`, filled equally, (N,).

    Equal scores share a bin, so the order of the rows does not matter.
    """
    _, inverse, rows = np.unique(scores_N, return_inverse=True, return_counts=True)
    middle = np.cumsum(rows) - rows / 2
    wanted = np.floor(middle * count / max(1, len(scores_N))).astype(np.int64)
    _, dense = np.unique(wanted, return_inverse=True)
    return np.asarray(dense[inverse], dtype=np.int64)


def reliability(
    labels_N: npt.NDArray[np.bool_], scores_N: npt.NDArray[np.float64], count: int = BINS
) -> Reliability:
    """Scores beside what came true, in equally filled bins of rising score."""
    bin_N = bins(scores_N, count)
    rows = np.bincount(bin_N)
    true = np.bincount(bin_N, weights=labels_N)
    low, high = wilson(true, rows)
    return Reliability(rows=rows, mean_score=np.bincount(bin_N, weights=scores_N) / rows,
                       share=true / rows, low=low, high=high)


def wilson(
    successes: npt.ArrayLike, trials: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The 95% interval of a share, sound for small counts and at 0 and 1.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22 (1927).
    """
    n = np.asarray(trials, dtype=np.float64)
    share = np.asarray(successes, dtype=np.float64) / n
    centre = share + Z95**2 / (2 * n)
    spread = Z95 * np.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    scale = 1 + Z95**2 / n
    # At 0 and 1 rounding would leave the share just outside.
    low = np.minimum((centre - spread) / scale, share)
    high = np.maximum((centre + spread) / scale, share)
    return np.clip(low, 0, 1), np.clip(high, 0, 1)
