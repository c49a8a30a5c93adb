"""Evidence that a share is too large, or larger than another: e-values of counts, to be looked at
as often as one likes.

An e-value is the capital of somebody who starts with 1 and bets against a claim; while the claim is
true it ever reaches 1 / level with a chance of at most `level` (Ville's inequality). Here the bets
are likelihood ratios, averaged over a few fixed alternatives.
"""

from __future__ import annotations

from math import inf, log

import numpy as np

ALTERNATIVES = 12
"""Shares that are bet on, with the same weight."""
LARGEST = 0.95
GRID = (0.01, 0.05, 0.2, 0.5, 0.8, 0.95)


def log_e_above(hits: int, trials: int, most: float) -> float:
    """ln of the e-value against "given all before, each trial's chance of a hit is at most `most`".

    For an alternative q above p = `most` the ratio (q/p)^hits ((1-q)/(1-p))^misses has a mean of at
    most 1 for any chance up to p; so has the mean over several q. This is the binary case of
    Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 86
    (2024).

    >>> log_e_above(3, 3, 0.05) > log(1 / 0.0025) > log_e_above(1, 3, 0.05)
    True
    """
    if trials == 0:
        return 0.0
    alternatives = np.geomspace(min(2 * most, (most + LARGEST) / 2), LARGEST, ALTERNATIVES)
    grown = (hits * np.log(alternatives / most)
             + (trials - hits) * np.log((1 - alternatives) / (1 - most)))
    return float(np.logaddexp.reduce(grown)) - log(ALTERNATIVES)


class SharesApart:
    """The e-value against "both groups have the same chance of a hit", for a larger one of the
    first.

    Trials come in blocks with some of both groups. The chance may change from block to block, as
    when a store that both read is down for a while: then both have more hits, and that is evidence
    of nothing. Source: Turner, Ly and Grünwald, "Generic E-variables for exact sequential
    k-sample tests that allow for optional stopping", Journal of Statistical Planning and Inference
    230 (2024): for alternatives a > b, the likelihood of (a, b) over that of the pooled chance
    (n a + m b) / (n + m) for both.

    >>> apart = SharesApart()
    >>> for _ in range(20):
    ...     apart.add(1, 1, 0, 1)
    >>> apart.log_e > log(1 / 0.0025)
    True
    >>> both = SharesApart()
    >>> both.add(500, 500, 500, 500)
    >>> both.log_e <= 0
    True
    """

    def __init__(self) -> None:
        self._first, self._second = (
            np.array(each) for each in zip(
                *[(a, b) for b in GRID for a in GRID if a > b], strict=True))
        self._grown = np.zeros(len(self._first))

    def add(self, hits: int, trials: int, other_hits: int, other_trials: int) -> None:
        """One block. Nothing follows from one in which a group has no trial."""
        if not trials or not other_trials:
            return
        pooled = (trials * self._first + other_trials * self._second) / (trials + other_trials)
        self._grown = self._grown + (
            hits * np.log(self._first / pooled)
            + (trials - hits) * np.log((1 - self._first) / (1 - pooled))
            + other_hits * np.log(self._second / pooled)
            + (other_trials - other_hits) * np.log((1 - self._second) / (1 - pooled)))

    @property
    def log_e(self) -> float:
        """ln of the e-value so far."""
        return float(np.logaddexp.reduce(self._grown, initial=-inf)) - log(len(self._grown))
