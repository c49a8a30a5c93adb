"""How sure the numbers are: metrics with 95% intervals, and one model's lead over another.

All intervals come from what each row adds to a metric, in closed form (`intervals`); nothing is
drawn at random. Losses and other means of rows have Hall's interval, which knows how skewed they
are, and leads in them Student's; shares of rows have their mid-P interval, which is not empty at 0
and 1, and so have means of such shares, as over classes. What else lies in [0, 1] (areas under
curves, shares of pairs, of slates, of days) has Wilson's interval of a share with the same
variance.

Rows of one unit, such as a user, are alike: as many as they are, they say less than rows of
different ones. If the target has units, what each adds as a whole is what counts (Field and Welsh,
"Bootstrapping clustered data", 2007, on why). If it judges whole days, so it is with days, for
means of rows.

A metric that is at its bound is taken for a share of as many trials as the rarest label has rows,
or as there are units: so many disjoint groups with one row of each label can be made, and all of
them came out that way. A lead in what lies in [0, 1] comes from the intervals of both models and
from how they move together; any other is judged row by row.

What has no interval that is known to hold is told without one, and says why.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ml_assets.core.data.subjects import Subjects, groups
from ml_assets.core.target import Floats, Measured, Metric, Target
from ml_assets.evaluation import intervals

LEAD = Metric(higher=True, lowest=-np.inf)
FEW_ROWS = "too few rows make up its variance"
UNKNOWN = "none is known to hold"

@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and its 95% interval; None if it cannot be computed.

    A value may lack its interval: none is known to hold for such rows. `why` says why, in words.
    """

    value: float | None
    low: float | None
    high: float | None
    why: str | None = None


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
) -> Comparison:
    """Measure both models' outputs on N rows; the order of the rows does not matter.

    subjects: of the rows; None if nothing is known of them
    """
    subjects = Subjects.unknown(len(codes_N)) if subjects is None else subjects
    both = [candidate_NW] if champion_NW is None else [candidate_NW, champion_NW]
    # Sums depend on the order in their last digits, so the rows are brought into one of their own.
    ids = [] if target.units(subjects) is None else [groups(subjects.event_ids)]
    order = np.lexsort([
        *ids, *(column for outputs_NW in reversed(both) for column in outputs_NW.T[::-1]), codes_N])
    codes_N, both = codes_N[order], [outputs_NW[order] for outputs_NW in both]
    subjects = subjects.of_rows(order)
    trials = _trials(target, codes_N, subjects)
    models = [_Model.of(target, codes_N, outputs_NW, subjects, trials) for outputs_NW in both]
    if champion_NW is None:
        return Comparison(candidate=models[0].found, champion=None, better_by=None)
    same = bool(np.array_equal(both[0], both[1]))
    return Comparison(
        candidate=models[0].found, champion=models[1].found,
        better_by={name: _none(models[0].found[name]) if same else _lead(name, metric, *models)
                   for name, metric in target.metrics.items()})


@dataclass(frozen=True, kw_only=True)
class _Model:
    """What was measured of a model, and how sure it is."""

    sample: Measured
    found: Estimates

    @classmethod
    def of(
        cls, target: Target, codes_N: Floats, outputs_NW: Floats, subjects: Subjects, trials: int
    ) -> _Model:
        sample = target.measured(codes_N, outputs_NW, subjects)
        values = sample.measure(np.ones((1, len(codes_N))))
        return cls(sample=sample, found={
            name: _estimate(sample, name, float(values[name][0]), metric, trials)
            for name, metric in target.metrics.items()})


def _trials(target: Target, codes_N: Floats, subjects: Subjects) -> int:
    """How many units there are, or rows of the rarest stratum: so many are surely independent."""
    unit_N = target.units(subjects)
    if unit_N is not None:
        return int(unit_N.max(initial=-1)) + 1
    return int(np.unique(target.strata(codes_N), return_counts=True)[1].min(initial=len(codes_N)))


def _is_share(metric: Metric) -> bool:
    """Whether it counts what is right, of all there is."""
    return metric.higher and (metric.lowest, metric.highest) == (0, 1)


def _estimate(
    sample: Measured, name: str, value: float, metric: Metric, trials: int
) -> Estimate:
    """Of one model."""
    if name in sample.shares:
        return share(*sample.shares[name])
    if math.isnan(value):
        return Estimate(value=None, low=None, high=None)
    if metric.complement_of is not None:
        found = _estimate(sample, metric.complement_of, 1 - value, metric.complemented, trials)
        return Estimate(value=value, low=_complement(found.high), high=_complement(found.low),
                        why=found.why)
    if name in sample.unsure:
        return _without(value, sample.unsure[name])
    if name in sample.means:
        low, high = intervals.of_mean_of_shares(sample.means[name])
        return Estimate(value=value, low=min(low, value), high=max(high, value))
    if metric.root_of is not None and metric.root_of not in sample.unsure:
        square = _of_mean(value**2, sample.contributions[metric.root_of][0], Metric(higher=False))
        return Estimate(value=value, low=_root(square.low), high=_root(square.high),
                        why=square.why)
    if name not in sample.contributions:
        return _without(value, UNKNOWN)
    added = sample.contributions[name]
    if _is_share(metric):
        low, high = (intervals.of_area(value, (added[0], added[1]), trials=trials)
                     if len(added) > 1 else intervals.of_share(value, added, trials=trials))
        return Estimate(value=value, low=low, high=high)
    if metric.higher and metric.highest == 1:
        return _spanning(value, intervals.of_explained(value, added[0]))
    return _of_mean(value, sample.clustered.get(name, added[0]), metric)


def _lead(name: str, metric: Metric, first: _Model, second: _Model) -> Estimate:
    """The first model's over the second's, in the metric's good direction."""
    if metric.complement_of is not None:
        name, metric = metric.complement_of, metric.complemented
    one, other = first.found[name], second.found[name]
    if one.value is None or other.value is None:
        return Estimate(value=None, low=None, high=None)
    values = np.array([one.value, other.value])
    lead = float(np.subtract(*metric.goodness(values)))
    added = [model.sample.contributions.get(name) for model in (first, second)]
    unsure = [name in model.sample.unsure for model in (first, second)]
    by_row = not _is_share(metric) and name not in first.sample.shares and (
        metric.best is None and metric.root_of is None)
    if by_row and not all(unsure) and added[0] is not None and added[1] is not None:
        sign = 1.0 if metric.higher else -1.0
        return _within(lead, intervals.of_difference(sign * (added[0][0] - added[1][0])), LEAD)
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return _without(lead, one.why or other.why)
    if metric.root_of is not None:  # as the squares do, so do the roots
        added = [model.sample.contributions.get(metric.root_of) for model in (first, second)]
    together = 0.0 if added[0] is None or added[1] is None else (
        intervals.correlation(added[0], added[1]))
    ends = [(one.low, one.high), (other.low, other.high)]
    if metric.best is not None:
        together *= float(np.sign(values[0] - metric.best) * np.sign(values[1] - metric.best))
        ends = [_distance(low, high, metric.best) for low, high in ends]
        values, metric = np.abs(values - metric.best), Metric(higher=False)
    if not metric.higher:
        values, ends = values[::-1], ends[::-1]
    low, high = intervals.of_pair((float(values[0]), float(values[1])), ends[0], ends[1], together)
    return Estimate(value=lead, low=min(low, lead), high=max(high, lead))


def _distance(low: float, high: float, best: float) -> tuple[float, float]:
    """How far from the best an interval says that a value is."""
    ends = abs(low - best), abs(high - best)
    return 0.0 if low <= best <= high else min(ends), max(ends)


def _none(found: Estimate) -> Estimate:
    """The lead of a model over one that answers the same."""
    zero = None if found.value is None else 0.0
    return Estimate(value=zero, low=zero, high=zero)


def _spanning(value: float, ends: intervals.Interval | None) -> Estimate:
    if ends is None:
        return _without(value, FEW_ROWS)
    return Estimate(value=value, low=min(ends[0], value), high=max(ends[1], value))


def _without(value: float, why: str | None) -> Estimate:
    return Estimate(value=value, low=None, high=None, why=why)


def _complement(end: float | None) -> float | None:
    return None if end is None else 1 - end


def _root(end: float | None) -> float | None:
    return None if end is None else math.sqrt(end)


def _of_mean(value: float, rows_N: Floats, metric: Metric) -> Estimate:
    return _within(value, intervals.of_mean(rows_N, degrees=1.0 if metric.heavy else 2.0), metric)


def _within(value: float, found: intervals.Interval | None, metric: Metric) -> Estimate:
    """An interval of a mean of rows, as far as the metric goes."""
    if math.isnan(value):
        return Estimate(value=None, low=None, high=None)
    if found is None:
        return _without(value, FEW_ROWS)
    return Estimate(value=value, low=max(metric.lowest, min(found[0], value)),
                    high=min(metric.highest, max(found[1], value)))


def share(hits: int, trials: int) -> Estimate:
    """A share of rows, with its mid-P interval."""
    if not trials:
        return Estimate(value=None, low=None, high=None)
    low, high = intervals.of_trials(hits, trials)
    return Estimate(value=hits / trials, low=low, high=high)
