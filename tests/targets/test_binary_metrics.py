"""Laws of the metrics, and agreement with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as peer

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.target import Bools, Floats, Measured
from ml_assets.targets import Binary

Rows = tuple[Bools, Floats]


def sample_of(labels: Bools, scores: Floats, threshold: float = 0.5) -> Measured:
    target = Binary(name="is_spam", threshold=threshold)
    return target.measured(labels.astype(float), scores[:, None], Subjects.unknown(len(labels)))


def measured(labels: Bools, scores: Floats, threshold: float = 0.5) -> dict[str, float]:
    values = sample_of(labels, scores, threshold).measure(np.ones((1, len(labels))))
    return {name: float(value[0]) for name, value in values.items()}


@st.composite
def rows(draw: st.DrawFn) -> Rows:
    """At least one row of each class; scores on a coarse grid, so that many are equal."""
    labels = [True, False, *draw(st.lists(st.booleans(), max_size=60))]
    grid = st.integers(0, 20).map(lambda step: step / 20)
    scores = draw(st.lists(grid, min_size=len(labels), max_size=len(labels)))
    return np.array(labels), np.array(scores)


@given(rows())
@settings(max_examples=60, deadline=None)
def test_scikit_learn_agrees(sample: Rows) -> None:
    labels, scores = sample
    ours = measured(labels, scores)
    assert ours["roc_auc"] == pytest.approx(peer.roc_auc_score(labels, scores))
    assert ours["average_precision"] == pytest.approx(peer.average_precision_score(labels, scores))
    assert ours["log_loss"] == pytest.approx(peer.log_loss(labels, scores))
    assert ours["brier"] == pytest.approx(peer.brier_score_loss(labels, scores))
    assert ours["recall"] == pytest.approx(peer.recall_score(labels, scores >= 0.5))


@given(rows())
@settings(max_examples=60, deadline=None)
def test_recall_at_a_rate_is_the_best_of_all_thresholds_within_it(sample: Rows) -> None:
    labels, scores = sample
    best = 0.0
    for threshold in [each for each in np.unique(scores) if 0 < each < 1] + [1 - 1e-9, 1e-9]:
        at = measured(labels, scores, threshold)
        if at["false_positive_rate"] <= 0.01:
            best = max(best, at["recall"])
    assert measured(labels, scores)["recall_at_fpr_1%"] == pytest.approx(best)


def test_a_rate_is_met_exactly_where_it_is_a_whole_number_of_rows() -> None:
    labels = np.array([False] * 300 + [True] * 10)
    scores = np.concatenate([np.linspace(0, 0.9, 297), [0.97, 0.98, 0.99], np.full(10, 0.95)])
    ours = measured(labels, scores)
    assert ours["recall_at_fpr_1%"] == 1.0  # three alarms of 300 are 1%
    assert ours["recall_at_fpr_0.5%"] == 0.0  # only one is allowed


@given(rows(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_resample_is_measured_as_if_it_were_the_sample(sample: Rows, seed: int) -> None:
    labels, scores = sample
    generator = np.random.default_rng(seed)
    drawn = np.concatenate([
        generator.choice(np.flatnonzero(labels == value), int((labels == value).sum()))
        for value in (False, True)
    ])
    weights = np.bincount(drawn, minlength=len(labels)).astype(float)[None]
    weighted = sample_of(labels, scores).measure(weights)
    repeated = measured(labels[drawn], scores[drawn])
    for name in Binary(name="is_spam").metrics:
        if name != "calibration_error":  # its bins stay those of the sample
            assert weighted[name][0] == pytest.approx(repeated[name]), name


@given(rows(), st.data())
@settings(max_examples=60, deadline=None)
def test_the_order_of_rows_does_not_matter(sample: Rows, data: st.DataObject) -> None:
    labels, scores = sample
    order = np.array(data.draw(st.permutations(range(len(labels)))))
    assert measured(labels[order], scores[order]) == pytest.approx(measured(labels, scores))


def test_perfect_scores_are_perfect_in_every_way() -> None:
    labels = np.array([True, False] * 20)
    ours = measured(labels, labels.astype(float))
    for name in ("log_loss", "brier", "calibration_error", "false_positive_rate"):
        assert ours[name] == pytest.approx(0)
    for name in ("roc_auc", "average_precision", "recall", "recall_at_fpr_0.5%"):
        assert ours[name] == pytest.approx(1)


@pytest.mark.parametrize("value", [True, False])
def test_one_class_leaves_undefined_what_needs_two(value: bool) -> None:
    ours = measured(np.full(10, value), np.linspace(0, 1, 10))
    for name in ("roc_auc", "average_precision", "recall_at_fpr_1%", "recall_at_fpr_0.5%"):
        assert np.isnan(ours[name])
    assert np.isnan(ours["recall"]) != value
    assert np.isnan(ours["false_positive_rate"]) == value
    assert np.isfinite([ours["log_loss"], ours["brier"], ours["calibration_error"]]).all()


def test_no_rows_leave_everything_undefined() -> None:
    assert np.isnan(list(measured(np.empty(0, bool), np.empty(0)).values())).all()
