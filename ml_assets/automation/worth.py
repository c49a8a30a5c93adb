"""Whether a new model is worth its training: what the lag of the present one is expected to cost.

The gap between a model and one of today is taken to grow with the share of labels that it has not
seen. What a whole share is worth, in loss of an answer, is estimated from past retrainings by the
normal model with a declared prior (Gelman et al., "Bayesian Data Analysis", 3rd ed., 2.5): each is
one measurement of a value that varies between retrainings as much as the prior does.

A training is due when the lag since the last one is expected to have cost as much as a training:
the economic order quantity for a gap that grows evenly (Harris, "How many parts to make at once",
1913), and twice the best in hindsight at most, as for hiring skis (Karlin, Manasse, Rudolph and
Sleator, "Competitive snoopy caching", 1988). On retraining by cost see Zliobaite, Budka and Stahl,
"Towards cost-sensitive adaptation: when is it worth updating your predictive model?",
Neurocomputing 150 (2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from ml_assets.core.policies import Worth
from ml_assets.evaluation.benefits import Benefit

RECENT = 8
"""Retrainings that are looked back at: a changing world makes older ones mislead."""


@dataclass(frozen=True, kw_only=True)
class Day:
    """A closed day since the last training: answers that were given, rows or slates as the measure
    counts them; labels that became known."""

    answers: int
    labels: int


@dataclass(frozen=True, kw_only=True)
class Lag:
    """How far a model is behind one of today.

    answers: that were given since its training; fresh: the share of labels that it has not seen,
    at the end of the last day; missed: over all answers, the sum of that share as it was on their
    day
    """

    answers: int = 0
    fresh: float = 0.0
    missed: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ExpectedBenefit:
    """By how much an answer is expected to lose less with a model all of whose labels are new.

    mean, deviation: in the unit of the measure; retrainings: that it rests on beside the prior
    """

    mean: float
    deviation: float
    retrainings: int


def lag_of(days: Sequence[Day], *, seen: int, whole: bool) -> Lag:
    """The lag at the end of `days`, in order.

    seen: labels that the model learnt from; whole: a new one would learn from all of them too, and
    not from a window of the same length

    >>> lag_of([Day(answers=10, labels=50), Day(answers=10, labels=50)], seen=100, whole=True)
    Lag(answers=20, fresh=0.5, missed=8.333333333333334)
    """
    answers, labels, fresh, missed = 0, 0, 0.0, 0.0
    for day in days:
        answers, labels = answers + day.answers, labels + day.labels
        total = seen + labels if whole else max(seen, labels)
        fresh = labels / total if total else 0.0
        missed += day.answers * fresh
    return Lag(answers=answers, fresh=fresh, missed=missed)


def expected(benefits: Sequence[Benefit], prior: float) -> ExpectedBenefit | None:
    """What past retrainings let expect; None before a first model was evaluated.

    benefits: the oldest first; prior: the expected share of the measure
    """
    if not benefits or benefits[-1].value <= 0:
        return None
    mean = spread = prior * benefits[-1].value
    weighed, weight, retrainings = mean / spread**2, 1 / spread**2, 0
    for each in benefits[-RECENT:]:
        if each.lead is None or each.deviation is None or each.fresh <= 0:
            continue
        variance = spread**2 + (each.deviation / each.fresh) ** 2
        weighed, weight = weighed + each.lead / each.fresh / variance, weight + 1 / variance
        retrainings += 1
    return ExpectedBenefit(mean=weighed / weight, deviation=sqrt(1 / weight),
                           retrainings=retrainings)


def weigh(worth: Worth, measure: str, lag: Lag, benefit: ExpectedBenefit) -> tuple[bool, str]:
    """(whether a training is worth it, what speaks for it and against it)"""
    cost = max(benefit.mean, 0.0) * lag.missed
    name = measure.replace("_", " ")
    return cost >= worth.training, (
        f"{lag.fresh:.0%} of the labels are new, which is expected to have cost {cost:.3g} of "
        f"{name} in {lag.answers:,} answers (a model of new labels alone: {benefit.mean:.2g} an "
        f"answer less, ±{benefit.deviation:.1g}, from {benefit.retrainings} retraining"
        f"{'' if benefit.retrainings == 1 else 's'}); a training costs {worth.training:g}"
    )
