"""How sure the numbers are: metrics with 95% intervals, and one model's lead over another.

Intervals come from a bootstrap that draws rows with replacement within each stratum of the
target, the same draws for both models, so their difference is judged pair by pair (Efron and
Tibshirani, "An Introduction to the Bootstrap", 1993). If the target has units, such as users, it
draws these, with all their rows: rows of one are alike, and as many as they are, they say less
than rows of different ones (Field and Welsh, "Bootstrapping clustered data", 2007).

Quantiles of the draws are shifted so that their median is the value itself: calibration errors, for
one, come out larger in any resample. A share of rows has Wilson's interval instead, which is not
empty at 0 and 1.

A resample of rows that are told apart perfectly is told apart perfectly too, so a bootstrap would
call this certain. A metric that is at its bound in the sample and in every resample is taken for a
share of as many trials as the smallest stratum has rows, or as there are units: of one row of each
stratum at a time, so many disjoint groups can be made, and all of them came out that way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ml_assets.core.data.subjects import Subjects, groups
from ml_assets.core.target import Floats, Metric, Target
from ml_assets.evaluation.resampling import Resampling
from ml_assets.targets.metrics.calibration import wilson

RESAMPLES, FEWEST = 1000, 200
WEIGHED = 100_000_000
"""Rows in all resamples together, as long as there are `FEWEST`: many rows need few of them."""
SEED = 20_020_822
LEAD = Metric(higher=True, lowest=-np.inf)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and its 95% interval; None if it cannot be computed."""

    value: float | None
    low: float | None
    high: float | None


Estimates = dict[str, Estimate]
"""By metric."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two models on the same rows.

    better_by: the candidate's lead in each metric's good direction (a lower log loss leads).
    Both it and `champion` are None if there is no champion.
    """

    candidate: Estimates
    champion: Estimates | None
    better_by: Estimates | None


def compare(
    target: Target,
    codes_N: Floats,
    candidate_NW: Floats,
    champion_NW: Floats | None,
    *,
    subjects: Subjects | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Comparison:
    """Measure both models' outputs on N rows; the order of the rows does not matter.

    subjects: of the rows; None if nothing is known of them
    """
    subjects = Subjects.unknown(len(codes_N)) if subjects is None else subjects
    both = [candidate_NW] if champion_NW is None else [candidate_NW, champion_NW]
    # Draws go by position, so the rows are brought into an order of their own first.
    ids = [] if target.units(subjects) is None else [groups(subjects.event_ids)]
    order = np.lexsort([
        *ids, *(column for outputs_NW in reversed(both) for column in outputs_NW.T[::-1]), codes_N])
    codes_N, both = codes_N[order], [outputs_NW[order] for outputs_NW in both]
    subjects = subjects.of_rows(order)
    samples = [target.measured(codes_N, outputs_NW, subjects) for outputs_NW in both]
    resamples = min(resamples, max(FEWEST, WEIGHED // max(1, len(codes_N))))
    resampling = Resampling.of(target, codes_N, subjects)
    trials = resampling.trials
    measured_by_draw = [
        [sample.measure(weights_RN) for sample in samples]
        for weights_RN in resampling.weightings(resamples, seed)
    ]
    values = [
        {name: np.concatenate([part[name] for part in parts]) for name in target.metrics}
        for parts in zip(*measured_by_draw, strict=True)
    ]
    measured = [
        {name: share(*sample.shares[name]) if name in sample.shares
         else _interval(values_R[name], metric, trials=trials)
         for name, metric in target.metrics.items()}
        for sample, values_R in zip(samples, values, strict=True)
    ]
    if champion_NW is None:
        return Comparison(candidate=measured[0], champion=None, better_by=None)
    better_by = {
        name: _interval(metric.goodness(values[0][name]) - metric.goodness(values[1][name]), LEAD)
        for name, metric in target.metrics.items()
    }
    return Comparison(candidate=measured[0], champion=measured[1], better_by=better_by)


def share(hits: int, trials: int) -> Estimate:
    """A share of rows, with Wilson's interval."""
    if not trials:
        return Estimate(value=None, low=None, high=None)
    low, high = wilson(hits, trials)
    return Estimate(value=hits / trials, low=float(low), high=float(high))


def _interval(values_R: Floats, metric: Metric, *, trials: int = 0) -> Estimate:
    """From the value of the sample, then those of its resamples.

    trials: independent ones behind the value, if it is at its bound; 0 leaves such a value alone
    """
    value = float(values_R[0])
    if math.isnan(value):
        return Estimate(value=None, low=None, high=None)
    drawn_R = values_R[1:][~np.isnan(values_R[1:])]
    if not len(drawn_R):
        return Estimate(value=value, low=value, high=value)
    if trials and value in (metric.lowest, metric.highest) and (drawn_R == value).all():
        return _at_bound(value, metric, trials)
    low, middle, high = np.quantile(drawn_R, [0.025, 0.5, 0.975])
    return Estimate(value=value, low=float(max(metric.lowest, value + low - middle)),
                    high=float(min(metric.highest, value + high - middle)))


def _at_bound(value: float, metric: Metric, trials: int) -> Estimate:
    """Of a value at either end of a finite range."""
    span = metric.highest - metric.lowest
    if not math.isfinite(span):
        return Estimate(value=value, low=value, high=value)
    hits = trials if value == metric.highest else 0
    low, high = (metric.lowest + span * float(edge) for edge in wilson(hits, trials))
    return Estimate(value=value, low=low, high=high)
