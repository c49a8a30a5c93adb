"""Laws of calibration: bins, shares and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from ml_assets.targets.metrics.calibration import bins, reliability, wilson


@given(st.lists(st.integers(0, 30), min_size=1, max_size=100))
@settings(deadline=None)
def test_bins_rise_with_the_score_without_gaps_and_equal_scores_share_one(found: list[int]) -> None:
    scores = np.array(found) / 30
    of_row = bins(scores)
    assert set(of_row) == set(range(of_row.max() + 1))
    order = np.argsort(scores, kind="stable")
    assert (np.diff(of_row[order]) >= 0).all()
    for score in scores:
        assert len(set(of_row[scores == score])) == 1


def test_bins_of_different_scores_are_filled_equally() -> None:
    assert np.bincount(bins(np.linspace(0, 1, 200))).tolist() == [20] * 10


def test_a_bin_tells_its_mean_score_and_share() -> None:
    labels = np.array([False] * 8 + [True] * 2 + [True] * 8 + [False] * 2)
    scores = np.array([0.1] * 10 + [0.9] * 10)
    found = reliability(labels, scores)
    assert found.rows.tolist() == [10, 10]
    assert found.mean_score.tolist() == pytest.approx([0.1, 0.9])
    assert found.share.tolist() == pytest.approx([0.2, 0.8])
    assert (found.low < found.share).all()
    assert (found.share < found.high).all()


@given(st.integers(0, 50), st.integers(1, 50))
@settings(deadline=None)
def test_the_interval_of_a_share_is_scipys(successes: int, more: int) -> None:
    trials = successes + more
    low, high = wilson(successes, trials)
    peer = binomtest(successes, trials).proportion_ci(method="wilson")
    assert (float(low), float(high)) == pytest.approx((peer.low, peer.high), abs=1e-12)
    assert low <= successes / trials <= high


def test_no_alarm_in_300_does_not_prove_that_there_are_none() -> None:
    low, high = wilson(0, 300)
    assert low == 0
    assert 0.01 < high < 0.015
