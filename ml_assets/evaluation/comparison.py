"""How sure the numbers are: metrics with 95% intervals, and one model's lead over another.

Losses and other means of rows have Hall's interval, which knows how skewed they are; the area under
the ROC curve has DeLong's variance on the scale of Wilson's interval, and a share of rows its mid-P
interval, which is not empty at 0 and 1 (`intervals`). A lead is judged row by row.

All others come from a bootstrap that draws rows with replacement, the same draws for both models
(Efron and Tibshirani, "An Introduction to the Bootstrap", 1993). If the target has units, such as
users, it draws these, with all their rows: rows of one are alike, and as many as they are, they say
less than rows of different ones (Field and Welsh, "Bootstrapping clustered data", 2007). A metric
within [0, 1] then has the interval of a share with the variance of its draws; quantiles of the
draws of any other are shifted so that their median is the value itself.

A resample of rows that are told apart perfectly is told apart perfectly too, so a bootstrap would
call this certain. A metric that is at its bound in the sample and in every resample is taken for a
share of as many trials as the rarest label has rows, or as there are units: so many disjoint groups
with one row of each label can be made, and all of them came out that way.

What has no interval that is known to hold is told without one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml_assets.core.data.subjects import Subjects, groups
from ml_assets.core.target import Floats, Measured, Metric, Target
from ml_assets.evaluation import intervals
from ml_assets.evaluation.resampling import Resampling

RESAMPLES, FEWEST = 1000, 200
WEIGHED = 100_000_000
"""Rows in all resamples together, as long as there are `FEWEST`: many rows need few of them."""
SEED = 20_020_822
LEAD = Metric(higher=True, lowest=-np.inf)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and its 95% interval; None if it cannot be computed.

    A value may lack its interval: the rows are too few to give one.
    """

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
    alone = target.units(subjects) is None
    measured = [
        {name: _estimate(sample, name, values_R[name], metric, trials=trials, alone=alone)
         for name, metric in target.metrics.items()}
        for sample, values_R in zip(samples, values, strict=True)
    ]
    if champion_NW is None:
        return Comparison(candidate=measured[0], champion=None, better_by=None)
    same = bool(np.array_equal(both[0], both[1]))
    better_by = {
        name: _interval(values[0][name] * 0.0, LEAD) if same else _lead(
            name, metric, samples, [each[name] for each in values],
            [each[name] for each in measured], alone=alone)
        for name, metric in target.metrics.items()
    }
    return Comparison(candidate=measured[0], champion=measured[1], better_by=better_by)


def _estimate(
    sample: Measured, name: str, values_R: Floats, metric: Metric, *, trials: int, alone: bool
) -> Estimate:
    """Of one model; `alone`: rows are independent."""
    if name in sample.shares:
        return share(*sample.shares[name])
    value = float(values_R[0])
    if metric.root_of is not None and alone:
        square = _of_mean(value**2, sample.contributions[metric.root_of][0], Metric(higher=False))
        return Estimate(value=value, low=_root(square.low), high=_root(square.high))
    if name in sample.unsure and not math.isnan(value):
        return Estimate(value=value, low=None, high=None)
    if not alone or name not in sample.contributions:
        return _interval(values_R, metric, trials=trials)
    groups = sample.contributions[name]
    if len(groups) > 1:
        low, high = intervals.of_share(value, groups, trials=trials)
        return Estimate(value=value, low=low, high=high)
    return _of_mean(value, groups[0], metric)


def _lead(
    name: str, metric: Metric, samples: Sequence[Measured], values: Sequence[Floats],
    measured: Sequence[Estimate], *, alone: bool,
) -> Estimate:
    """The first model's over the second's, in the metric's good direction."""
    leads_R = metric.goodness(values[0]) - metric.goodness(values[1])
    if all(name in each.unsure for each in samples) and not math.isnan(leads_R[0]):
        return Estimate(value=float(leads_R[0]), low=None, high=None)
    both = [sample.contributions.get(name) for sample in samples]
    if alone and both[0] is None and metric.best is None and (
            metric.lowest, metric.highest) == (0, 1):
        return _of_pair(metric, values, measured)
    if not alone or both[0] is None or both[1] is None or metric.best is not None:
        return _interval(leads_R, LEAD)
    sign = 1.0 if metric.higher else -1.0
    groups = [sign * (one - other) for one, other in zip(both[0], both[1], strict=True)]
    value = float(leads_R[0])
    if math.isnan(value):
        return Estimate(value=None, low=None, high=None)
    if len(groups) == 1:
        return _of_mean(value, groups[0], LEAD)
    ends = [(each.low, each.high) for each in measured]
    (low, high), (other_low, other_high) = ends
    assert None not in (low, high, other_low, other_high)
    low, high = intervals.of_difference(
        value, groups, (low, high), (other_low, other_high),  # type: ignore[arg-type]
        (float(values[0][0]), float(values[1][0])))
    return Estimate(value=value, low=low, high=high)


def _of_pair(
    metric: Metric, values: Sequence[Floats], measured: Sequence[Estimate]
) -> Estimate:
    """The lead in a metric within [0, 1], of the interval of each model."""
    one, other = measured if metric.higher else measured[::-1]
    first, second = (values if metric.higher else values[::-1])
    if one.value is None or other.value is None:
        return Estimate(value=None, low=None, high=None)
    lead = one.value - other.value
    if None in (one.low, one.high, other.low, other.high):
        return Estimate(value=lead, low=None, high=None)
    drawn = np.array([first[1:], second[1:]])
    drawn = drawn[:, ~np.isnan(drawn).any(axis=0)]
    alike = len(drawn[0]) > 1 and drawn.std(axis=1).min() > 0
    low, high = intervals.of_pair(
        (one.value, other.value), (one.low, one.high), (other.low, other.high),  # type: ignore[arg-type]
        float(np.corrcoef(drawn)[0, 1]) if alike else 0.0)
    return Estimate(value=lead, low=low, high=high)


def _root(end: float | None) -> float | None:
    return None if end is None else math.sqrt(end)


def _of_mean(value: float, rows_N: Floats, metric: Metric) -> Estimate:
    found = intervals.of_mean(rows_N)
    if math.isnan(value):
        return Estimate(value=None, low=None, high=None)
    if found is None:
        return Estimate(value=value, low=None, high=None)
    return Estimate(value=value, low=max(metric.lowest, min(found[0], value)),
                    high=min(metric.highest, max(found[1], value)))


def share(hits: int, trials: int) -> Estimate:
    """A share of rows, with its mid-P interval."""
    if not trials:
        return Estimate(value=None, low=None, high=None)
    low, high = intervals.of_trials(hits, trials)
    return Estimate(value=hits / trials, low=low, high=high)


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
    if (metric.lowest, metric.highest) == (0, 1) and metric.best is None:
        low, high = intervals.of_spread(value, float(drawn_R.var(ddof=1)), trials=max(1, trials))
        return Estimate(value=value, low=low, high=high)
    low, middle, high = np.quantile(drawn_R, [0.025, 0.5, 0.975])
    return Estimate(value=value, low=float(max(metric.lowest, value + low - middle)),
                    high=float(min(metric.highest, value + high - middle)))


def _at_bound(value: float, metric: Metric, trials: int) -> Estimate:
    """Of a value at either end of a finite range."""
    span = metric.highest - metric.lowest
    if not math.isfinite(span):
        return Estimate(value=value, low=value, high=value)
    hits = trials if value == metric.highest else 0
    low, high = (metric.lowest + span * edge for edge in intervals.of_trials(hits, trials))
    return Estimate(value=value, low=low, high=high)
