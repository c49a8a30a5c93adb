"""How sure it is that a column has changed, and since when: e-values to be read every day.

A column's reference is a sample of n rows, its live days are counts of bins. If nothing has
changed, an e-process is worth 1 on average whenever one looks, so it reaches 1 / level with a
chance of at most `level` (Ville's inequality), however many days pass.

Nobody knows on which day a change would begin. So there is one e-process for each day k that
compares all rows since k with the reference, and a column's evidence is their mean, weighted by a
geometric prior of k (Shiryaev, "On optimum methods in quickest detection problems", Theory of
Probability and its Applications 8, 1963): a mixture of e-processes that begin later is one too
(Shin, Ramdas and Rinaldo, "E-detectors", New England Journal of Statistics in Data Science, 2024).

Of each k several things are weighed, with fixed weights:

- numbers: how high they are, how spread and how skewed, by polynomials of their rank that are
  orthonormal in the reference (Neyman, "Smooth test for goodness of fit", 1937). Their mean has a
  normal mixture; a flat prior of the mean that both samples share is what the reference's own error
  asks for (Perez-Ortiz, Lardy, de Heide and Grünwald, "E-statistics, group invariance and anytime
  valid testing", Annals of Statistics 52, 2024).
- shares of rows: the missing, those outside the reference's range, each value of a category. Two
  beta-binomial likelihoods are compared: that of a share of its own against that of the share that
  the reference leaves likely, as in Turner, Ly and Grünwald, "Generic E-variables for exact
  sequential k-sample tests that allow for optional stopping" (2021).

The first are asymptotic in the rows, the second average over what the reference leaves open:
`ml-assets bench drift` measures how often both err.

Rows of a day are alike: weekdays, campaigns and outages move all of them. How much more the days
(and weeks) of the reference differ than independent rows would is measured, and counts in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log

import numpy as np
import numpy.typing as npt

from ml_assets.core.target import Floats
from ml_assets.monitoring.drift.bins import Counts

HAZARD = 1 / 30
"""The prior chance that a change begins on a day."""
SHIFTS = (0.1, 0.35)
"""Standard deviations of the shifts that are looked for, in those of a row."""
STRENGTHS = (4.0, 30.0)
"""Of the beta priors of a share that has changed: how many rows they are worth."""
POLYNOMIALS = {"location": 0.45, "spread": 0.15, "skewness": 0.1}
MISSING, OUTSIDE, COMMONEST = 0.2, 0.1, 0.1
"""Weights of what is weighed of a number; a category's shares all have the same."""
ROWS_OF_KURTOSIS = 20
"""A mean of a polynomial is taken for normal from as many rows a unit of its kurtosis on: of an
event in a hundredth of rows, say, from twenty such events on."""
FEWEST_BLOCKS = 4
"""Days, or weeks, of a reference that say how much they differ."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Yardstick:
    """A column's reference: what live days are compared with.

    days_DB: its counts, one row for each of D days; a single row if the days are not known
    ordered: whether the bins, but for the last, are in the order of values
    week: days of the blocks by which lasting differences between days are seen
    """

    days_DB: Counts
    ordered: bool
    week: int = 7

    @cached_property
    def counts_B(self) -> Counts:
        total: Counts = self.days_DB.sum(axis=0)
        return total

    @property
    def rows(self) -> int:
        return int(self.counts_B.sum())

    @cached_property
    def scores_JB(self) -> Floats:
        """Polynomials of the rank in the reference, as many as its values allow; 0 of missing."""
        width = len(self.counts_B)
        present_B = self.counts_B[:-1].astype(np.float64)
        if not self.ordered or present_B.sum() == 0:
            return np.zeros((0, width))
        share_B = present_B / present_B.sum()
        rank_B = np.cumsum(share_B) - share_B / 2
        basis = [np.ones_like(rank_B)]
        for _ in POLYNOMIALS:
            wave_B = basis[-1] * (rank_B - 0.5)
            for _again in range(2):
                for each_B in basis:
                    wave_B = wave_B - each_B * float((each_B * wave_B) @ share_B)
            size = float(np.sqrt(wave_B**2 @ share_B))
            if size < 1e-3:  # the reference has too few different values
                break
            basis.append(wave_B / size)
        found = np.array(basis[1:]).reshape(-1, len(rank_B))
        return np.hstack([found, np.zeros((len(found), 1))])

    @property
    def commonest(self) -> int:
        """The bin that most present rows of the reference are in."""
        return int(np.argmax(self.counts_B[:-1]))

    @cached_property
    def fewest_rows_J(self) -> Floats:
        """Rows from which on the mean of each polynomial may be taken for normal."""
        mean_J, variance_J = self.moments(self.scores_JB)
        share_B = self.counts_B / max(1, self.rows)
        fourth_J = (self.scores_JB - mean_J[:, None]) ** 4 @ share_B
        return np.asarray(ROWS_OF_KURTOSIS * fourth_J / np.maximum(variance_J, 1e-12) ** 2)

    @cached_property
    def shares_KB(self) -> Floats:
        """Which bins (0 or 1) make up each share that is weighed."""
        width = len(self.counts_B)
        if not self.ordered:
            return np.eye(width)
        missing, outside = np.zeros((2, width))
        missing[-1], outside[[0, -2]] = 1, 1
        return np.array([missing, outside, np.eye(width)[self.commonest]])

    @cached_property
    def weights(self) -> Floats:
        """Of the polynomials, then of the shares."""
        if not self.ordered:
            return np.full(len(self.counts_B), 1 / len(self.counts_B))
        found = np.array([*list(POLYNOMIALS.values())[:len(self.scores_JB)],
                          MISSING, OUTSIDE, COMMONEST])
        return np.asarray(found / found.sum())

    @cached_property
    def between_days(self) -> Floats:
        """The variance between days of the mean of each score, and of each share, in units of a
        row's; 0 unless days differ by more than chance.

        It is the upper end of what so few days leave likely, of single days or of `week` days
        that differ as such: whichever says more.
        """
        waves = np.vstack([self.scores_JB, self.shares_KB])
        found = np.zeros(len(waves))
        if len(self.days_DB) < FEWEST_BLOCKS:
            return found
        mean_S, variance_S = self.moments(waves)
        for length in (1, self.week):
            blocks_CB = _blocks(self.days_DB, length)
            rows_C = blocks_CB.sum(axis=1).astype(np.float64)
            if len(blocks_CB) < FEWEST_BLOCKS:
                continue
            freedom = len(blocks_CB) - 1
            excess_CS = (blocks_CB @ waves.T) / rows_C[:, None] - mean_S
            with np.errstate(divide="ignore", invalid="ignore"):
                dispersion_S = (rows_C @ excess_CS**2) / variance_S
            high, low = _chi_square_quantiles(freedom)
            typical = rows_C.sum() / len(rows_C)
            own_S = np.where(dispersion_S > high, (dispersion_S / low - 1) / typical * length, 0.0)
            found = np.fmax(found, np.nan_to_num(own_S))
        return found

    def moments(self, waves_SB: Floats) -> tuple[Floats, Floats]:
        """Mean and variance (S,) of each score of a row."""
        share_B = (self.counts_B + 0.5 / len(self.counts_B)) / (self.rows + 0.5)
        mean_S = waves_SB @ share_B
        return mean_S, np.asarray(waves_SB**2 @ share_B - mean_S**2)


def _blocks(days_DB: Counts, length: int) -> Counts:
    """Sums of `length` days each; days without rows are not there."""
    whole = len(days_DB) // length * length
    shape = (whole // length, length, days_DB.shape[1])
    blocks: Counts = days_DB[len(days_DB) - whole:].reshape(shape).sum(axis=1)
    return np.asarray(blocks[blocks.sum(axis=1) > 0])


def _chi_square_quantiles(freedom: int) -> tuple[float, float]:
    """At 99% and 10%."""
    from scipy.special import chdtri  # sensors import this room and judge nothing

    return float(chdtri(freedom, 0.01)), float(chdtri(freedom, 0.9))


def log_e_of_starts(yardstick: Yardstick, live_TB: Counts) -> Floats:
    """(T,) ln of the e-value against "nothing has changed", of the rows from each day to the last.

    live_TB: counts of T live days. A start after which there is no row has 0.
    """
    since_TB = np.cumsum(live_TB[::-1], axis=0)[::-1]
    evidence, some = np.zeros(len(live_TB)), since_TB.sum(axis=1) > 0
    if some.any() and yardstick.rows:
        days_T = np.cumsum((live_TB.sum(axis=1) > 0)[::-1])[::-1]
        each = _parts(yardstick, since_TB[some], days_T[some])
        evidence[some] = np.logaddexp.reduce(each + np.log(yardstick.weights)[:, None], axis=0)
    return evidence


def telling(yardstick: Yardstick, now_B: Counts) -> tuple[str, int]:
    """What tells rows counted as `now_B` from the reference most surely: a polynomial and its
    index, "outside", or "share" and the bin."""
    each = _parts(yardstick, now_B[None, :], np.array([7]))[:, 0]
    best, scores = int(np.argmax(each)), len(yardstick.scores_JB)
    if best < scores:
        return list(POLYNOMIALS)[best], best
    if yardstick.ordered:
        return (("share", len(now_B) - 1), ("outside", 0),
                ("share", yardstick.commonest))[best - scores]
    return "share", best - scores


def _parts(yardstick: Yardstick, since_TB: Counts, days_T: npt.NDArray[np.int64]) -> Floats:
    """(J + K, T) of all that is weighed."""
    rows_T = since_TB.sum(axis=1).astype(np.float64)
    between_S, scores = yardstick.between_days, len(yardstick.scores_JB)
    return np.vstack([
        _of_means(yardstick, since_TB, rows_T, days_T, between_S[:scores]),
        _of_shares(yardstick, since_TB, rows_T, days_T, between_S[scores:]),
    ])


def _noise(
    yardstick: Yardstick, rows_T: Floats, days_T: npt.NDArray[np.int64], between_S: Floats
) -> tuple[Floats, Floats]:
    """Of the difference of two means, in units of a row's variance: by rows alone (T,), and with
    what days differ by (S, T)."""
    alone_T = 1 / rows_T + 1 / yardstick.rows
    days = 1 / days_T + 1 / max(1, len(yardstick.days_DB))
    return alone_T, alone_T + between_S[:, None] * days


def _of_means(
    yardstick: Yardstick, since_TB: Counts, rows_T: Floats, days_T: npt.NDArray[np.int64],
    between_S: Floats,
) -> Floats:
    """(J, T) of each polynomial."""
    waves_JB = yardstick.scores_JB
    mean_J, variance_J = yardstick.moments(waves_JB)
    lead_JT = (since_TB @ waves_JB.T / rows_T[:, None] - mean_J).T
    _, noise_JT = _noise(yardstick, rows_T, days_T, between_S)
    squared_JT = lead_JT**2 / np.maximum(variance_J, 1e-12)[:, None]
    of_shifts = []
    for shift in SHIFTS:
        whole_JT = noise_JT + shift**2
        of_shifts.append(0.5 * np.log(noise_JT / whole_JT)
                         + squared_JT / 2 * shift**2 / (noise_JT * whole_JT))
    enough_JT = np.minimum(rows_T, yardstick.rows) >= yardstick.fewest_rows_J[:, None]
    return np.where(enough_JT, _log_mean(of_shifts), 0.0)


def _of_shares(
    yardstick: Yardstick, since_TB: Counts, rows_T: Floats, days_T: npt.NDArray[np.int64],
    between_S: Floats,
) -> Floats:
    """(K, T) of each share. Days that differ make all rows count for fewer."""
    from scipy.special import betaln

    shares_KB = yardstick.shares_KB
    alone_T, noise_KT = _noise(yardstick, rows_T, days_T, between_S)
    worth_KT = alone_T / noise_KT
    then_KT = (shares_KB @ yardstick.counts_B)[:, None] * worth_KT
    now_KT = (since_TB @ shares_KB.T).T * worth_KT
    others_then_KT = yardstick.rows * worth_KT - then_KT
    others_now_KT = rows_T * worth_KT - now_KT
    same_KT = betaln(now_KT + then_KT + 0.5, others_now_KT + others_then_KT + 0.5) - betaln(
        then_KT + 0.5, others_then_KT + 0.5)
    usual_KT = (then_KT + 0.5) / (then_KT + others_then_KT + 1)
    of_strengths = []
    for strength in STRENGTHS:
        yes_KT = np.maximum(strength * usual_KT, 0.5)
        no_KT = np.maximum(strength * (1 - usual_KT), 0.5)
        of_strengths.append(
            betaln(now_KT + yes_KT, others_now_KT + no_KT) - betaln(yes_KT, no_KT) - same_KT)
    return _log_mean(of_strengths)


def _log_mean(logs: Sequence[Floats]) -> Floats:
    found: Floats = np.logaddexp.reduce(np.array(logs), axis=0) - log(len(logs))
    return found


def log_e(of_starts_T: Floats, earlier: int = 0) -> float:
    """ln of a column's e-value: the mean over when the change began, weighted by the prior.

    earlier: days before the first that are not looked at any more; leaving their share out makes
    an e-value smaller
    """
    days = earlier + np.arange(len(of_starts_T))
    later = (earlier + len(of_starts_T)) * log(1 - HAZARD)  # it has not begun yet
    weighted_T = of_starts_T + log(HAZARD) + days * log(1 - HAZARD)
    return float(np.logaddexp.reduce(np.append(weighted_T, later)))
