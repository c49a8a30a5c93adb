"""What each row adds to metrics of an order: their influence functions, so that the mean of what
all rows add is the metric itself.

The variance of the mean is then that of the metric, to first order (Efron and Stein 1981; for the
ROC curve: Hsieh and Turnbull, "Nonparametric and semiparametric estimation of the receiver
operating characteristic curve", Annals of Statistics 24, 1996).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml_assets.core.data.metric import MeanOfShares
from ml_assets.core.target import Bools, Floats


def precision_of_rows(labels_N: Bools, scores_N: Floats) -> Floats:
    """(N,) what each row adds to the average precision; some of them are True.

    A row that is True adds the precision at its score, and raises that of all who score no higher;
    one that is False lowers these.
    """
    order = np.argsort(-scores_N, kind="stable")
    true_N = labels_N[order].astype(np.float64)
    starts = np.flatnonzero(np.diff(scores_N[order], prepend=np.inf))
    true_U = np.add.reduceat(true_N, starts)
    flagged_U = np.append(starts[1:], len(order)).astype(np.float64)
    found_U = np.cumsum(true_U)
    raises_U, lowers_U = (
        np.cumsum((true_U * each_U / flagged_U**2)[::-1])[::-1]
        for each_U in (flagged_U - found_U, found_U))
    precise_U = found_U / flagged_U
    value = float(true_U @ precise_U) / float(found_U[-1])
    step_N = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(order))))
    moved_N = np.where(true_N > 0, precise_U[step_N] - value + raises_U[step_N], -lowers_U[step_N])
    added_N = np.empty(len(order))
    added_N[order] = value + moved_N * len(order) / float(found_U[-1])
    return added_N


@dataclass(frozen=True, kw_only=True, eq=False)
class RecallWithin:
    """The recall of rows that are True (P,) at a rate of false alarms among those that are False.

    Two things are not sure of it: the share that is found, and where the threshold is. With the
    rate as their chance, so many alarms as lie in the middle 95% of a binomial distribution might
    have been above it: the recall that goes with either end says how far it may lie.

    share: the recall and how sure it is; added: what rows of either label add. Rows that are False
        add in proportion to the slope of the ROC curve between both ends.
    """

    share: MeanOfShares
    added: tuple[Floats, Floats]

    @classmethod
    def of(cls, rate: float, true_P: Floats, false_Q: Floats) -> RecallWithin:
        """Some rows of either label are needed."""
        alarms, allowed = np.sort(false_Q)[::-1], int(np.floor(rate * len(false_Q) + 1e-9))
        fewest, most = _middle(len(alarms), rate)
        recall, low, high = (
            float((true_P > _threshold(alarms, each)).mean()) for each in (allowed, fewest, most))
        slope = (high - low) * len(alarms) / max(1, most - fewest)
        found_P, above_Q = ((scores > _threshold(alarms, allowed)).astype(np.float64)
                            for scores in (true_P, false_Q))
        return cls(
            share=MeanOfShares(
                hits=found_P.sum(keepdims=True), trials=np.array([float(len(true_P))]),
                alike=np.eye(1), below=recall - low, above=high - recall),
            added=(found_P, recall - slope * (above_Q - above_Q.mean())))


def _middle(trials: int, rate: float) -> tuple[int, int]:
    """Between which counts 95% of a binomial distribution lie."""
    from scipy.special import bdtr  # sensors import this room and need no interval

    counts = np.arange(min(trials, int(rate * trials + 10 * (rate * trials) ** 0.5 + 10)) + 1)
    low, high = np.searchsorted(bdtr(counts, trials, rate), [0.025, 0.975])
    return int(low), int(high)


def _threshold(alarms: Floats, allowed: int) -> float:
    """The score that is exceeded by so many false alarms, at most."""
    return float(alarms[allowed]) if allowed < len(alarms) else -np.inf
