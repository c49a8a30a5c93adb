"""Laws of the intervals and of the paired comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.target import Bools, Floats
from ml_assets.evaluation.comparison import Comparison
from ml_assets.evaluation.comparison import compare as compare_outputs
from ml_assets.targets import Binary
from ml_assets.targets.metrics.calibration import wilson

TARGET = Binary(name="is_spam")
METRICS = TARGET.metrics


def compare(labels: Bools, one: Floats, other: Floats | None, **how: Any) -> Comparison:
    return compare_outputs(TARGET, labels.astype(float), one[:, None],
                           None if other is None else other[:, None], **how)


def sample(seed: int, rows: int = 200, skill: float = 2.0) -> tuple[Bools, Floats]:
    generator = np.random.default_rng(seed)
    labels = generator.random(rows) < 0.3
    return labels, 1 / (1 + np.exp(-(generator.normal(size=rows) + skill * (labels - 0.5))))


@given(st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_an_interval_contains_its_value(seed: int) -> None:
    labels, scores = sample(seed, rows=80)
    _, other = sample(seed + 1, rows=80)
    compared = compare(labels, scores, other)
    assert compared.better_by is not None
    given = 0
    for found in (*compared.candidate.values(), *compared.better_by.values()):
        assert found.value is not None
        assert (found.low is None) == (found.high is None)
        if found.low is not None and found.high is not None:
            given += 1
            assert found.low <= found.value <= found.high
    assert given >= 10


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    labels, scores = sample(seed, rows=60)
    _, other = sample(seed + 1, rows=60)
    scores = np.round(scores, 1)  # ties too
    order = np.random.default_rng(seed).permutation(60)
    straight = compare(labels, scores, other)
    shuffled = compare(labels[order], scores[order], other[order])
    assert shuffled == straight


def test_a_model_has_no_lead_over_itself() -> None:
    labels, scores = sample(1)
    compared = compare(labels, scores, scores.copy())
    assert compared.champion == compared.candidate
    assert compared.better_by is not None
    for lead in compared.better_by.values():
        assert (lead.value, lead.low, lead.high) == (0, 0, 0)


def test_a_lead_is_the_other_ones_lag() -> None:
    labels, scores = sample(1)
    _, other = sample(2)
    there = compare(labels, scores, other).better_by
    back = compare(labels, other, scores).better_by
    assert there is not None
    assert back is not None
    for name in METRICS:
        value, mirrored = there[name].value, back[name].value
        assert value is not None
        assert mirrored is not None
        assert value == pytest.approx(-mirrored)


def test_a_clearly_better_model_leads_in_the_good_direction_of_each_metric() -> None:
    labels, weak = sample(3, rows=600, skill=1.0)
    strong = np.clip(weak + np.where(labels, 0.3, -0.3), 0, 1)
    better_by = compare(labels, strong, weak).better_by
    assert better_by is not None
    for name in ("roc_auc", "average_precision", "log_loss", "brier", "recall",
                 "false_positive_rate"):
        low = better_by[name].low
        assert low is not None
        assert low > 0, name


def test_pairing_makes_a_small_lead_certain() -> None:
    labels, scores = sample(4, rows=400)
    worse = np.where(labels, scores - 0.01, scores + 0.01).clip(0.001, 0.999)
    compared = compare(labels, scores, worse)
    assert compared.champion is not None
    assert compared.better_by is not None
    one, other = compared.candidate["log_loss"], compared.champion["log_loss"]
    lead = compared.better_by["log_loss"]
    assert one.high is not None
    assert other.low is not None
    assert lead.low is not None
    assert one.high > other.low  # the two intervals overlap
    assert lead.low > 0


def test_a_perfect_order_of_few_rows_is_not_taken_for_certain() -> None:
    """Of 60 rows: as sure as 20 pairs, which is how many the rarer label allows."""
    labels = np.arange(60) < 20
    found = compare(labels, np.linspace(0.9, 0.1, 60), None).candidate
    low, _ = wilson(20, 20)
    for name in ("roc_auc", "average_precision"):
        assert found[name].value == found[name].high == 1
        lowest = found[name].low
        assert lowest is not None and lowest == pytest.approx(float(low), abs=0.03)
    worst = compare(labels, np.linspace(0.1, 0.9, 60), None).candidate["roc_auc"]
    assert worst.value == worst.low == 0 and worst.high == pytest.approx(1 - float(low), abs=1e-5)
    # Of a model that makes no mistake on them, 60 rows do not say how much it loses.
    sure = compare(labels, np.where(labels, 1.0, 0.0), None).candidate["brier"]
    assert (sure.value, sure.low, sure.high) == (0, None, None)


def test_intervals_of_a_model_that_is_nearly_perfect_cover_the_truth() -> None:
    """Most samples of 40 rows show no mistake of its order."""
    everyone, scores = sample(8, rows=100_000, skill=5.0)
    truth = compare(everyone, scores, None).candidate["roc_auc"].value
    assert truth is not None and 0.99 < truth < 1
    generator, covered, perfect = np.random.default_rng(9), 0, 0
    for _ in range(200):
        drawn = generator.integers(len(everyone), size=40)
        found = compare(everyone[drawn], scores[drawn], None).candidate["roc_auc"]
        assert found.value is not None and found.low is not None and found.high is not None
        perfect += found.value == 1
        covered += found.low <= truth <= found.high
    assert perfect > 80 and covered >= 180


@pytest.mark.parametrize("value", [True, False])
def test_one_class_has_no_order_to_judge(value: bool) -> None:
    _, scores = sample(7, rows=30)
    compared = compare(np.full(30, value), scores, scores)
    assert compared.candidate["roc_auc"].value is None
    assert compared.candidate["log_loss"].value is not None


def test_no_rows_are_measured_as_nothing() -> None:
    none = np.empty(0)
    compared = compare(none.astype(bool), none, none)
    assert all(found.value is None for found in compared.candidate.values())
