"""How sure the numbers are: metrics with 95% intervals, and one model's lead over another.

Intervals come from a bootstrap that draws rows with replacement within each class, the same
draws for both models, so their difference is judged pair by pair (Efron and Tibshirani, "An
Introduction to the Bootstrap", 1993). Quantiles of the draws are shifted so that their median
is the value itself: calibration errors, for one, come out larger in any resample. A share at
the decision threshold has Wilson's interval instead, which is not empty at 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ml_assets.core.policies import HIGHER_IS_BETTER, Metric
from ml_assets.evaluation.calibration import wilson
from ml_assets.evaluation.metrics import METRICS, Floats, Labels, Sample

RESAMPLES = 1000
SEED = 20_020_822
CHUNK = 200_000
"""Weights held at once, so that they stay in the processor's cache."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and its 95% interval; None if it cannot be computed."""

    value: float | None
    low: float | None
    high: float | None


Estimates = dict[Metric, Estimate]


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
    labels_N: Labels,
    candidate_N: Floats,
    champion_N: Floats | None,
    *,
    threshold: float,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Comparison:
    """Measure both models on N rows; the order of the rows does not matter."""
    both = [candidate_N] if champion_N is None else [candidate_N, champion_N]
    # Draws go by position, so the rows are brought into an order of their own first.
    order = np.lexsort([*reversed(both), labels_N])
    labels_N, both = labels_N[order], [scores_N[order] for scores_N in both]
    samples = [Sample(labels_N, scores_N, threshold=threshold) for scores_N in both]
    measured_by_draw = [
        [sample.measure(weights_RN) for sample in samples]
        for weights_RN in _weights(labels_N, resamples, seed)
    ]
    values = [
        {metric: np.concatenate([part[metric] for part in parts]) for metric in METRICS}
        for parts in zip(*measured_by_draw, strict=True)
    ]
    measured = [
        {metric: _estimate(metric, values_R[metric], labels_N) for metric in METRICS}
        for values_R in values
    ]
    if champion_N is None:
        return Comparison(candidate=measured[0], champion=None, better_by=None)
    better_by = {
        metric: _interval((values[0][metric] - values[1][metric]) * direction(metric), -np.inf)
        for metric in METRICS
    }
    return Comparison(candidate=measured[0], champion=measured[1], better_by=better_by)


def direction(metric: Metric) -> int:
    """1 if higher is better, -1 if lower is."""
    return 1 if metric in HIGHER_IS_BETTER else -1


def _weights(labels_N: Labels, resamples: int, seed: int) -> Iterator[Floats]:
    """First the sample itself, then its stratified resamples, some at a time: (R, N) each."""
    yield np.ones((1, len(labels_N)))
    generator = np.random.default_rng(seed)
    classes = [np.flatnonzero(labels_N == value) for value in (False, True)]
    at_once = max(1, CHUNK // max(1, len(labels_N)))
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        weights_RN = np.zeros((count, len(labels_N)))
        for rows in classes:
            if len(rows):
                drawn = generator.integers(len(rows), size=(count, len(rows)))
                drawn += np.arange(count)[:, None] * len(rows)
                times = np.bincount(drawn.ravel(), minlength=count * len(rows))
                weights_RN[:, rows] = times.reshape(count, len(rows))
        yield weights_RN


def _estimate(metric: Metric, values_R: Floats, labels_N: Labels) -> Estimate:
    """From the value of the sample, then those of its resamples."""
    value = float(values_R[0])
    if metric in ("recall", "false_positive_rate") and not math.isnan(value):
        trials = int((labels_N == (metric == "recall")).sum())
        low, high = wilson(round(value * trials), trials)
        return Estimate(value=value, low=float(low), high=float(high))
    return _interval(values_R, 0.0, np.inf if metric == "log_loss" else 1.0)


def _interval(values_R: Floats, lowest: float, highest: float = np.inf) -> Estimate:
    value = float(values_R[0])
    if math.isnan(value):
        return Estimate(value=None, low=None, high=None)
    if len(values_R) == 1:
        return Estimate(value=value, low=value, high=value)
    low, middle, high = np.quantile(values_R[1:], [0.025, 0.5, 0.975])
    return Estimate(value=value, low=float(max(lowest, value + low - middle)),
                    high=float(min(highest, value + high - middle)))
