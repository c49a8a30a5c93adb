"""Intervals beside numbers hold as many labels as they promise."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.errors import DeclarationError
from ml_assets.core.target import Floats
from ml_assets.targets import Number
from ml_assets.targets.conformal import reach
from ml_assets.targets.stored import kept_outputs

DELAY = Number(name="delay", unit="min", tolerance=5, minimum=0, maximum=1000, interval=0.9)
RESIDUALS = st.lists(st.floats(-100, 100), min_size=1, max_size=60)
SHARES = st.sampled_from([0.5, 0.8, 0.9, 0.95])


@given(residuals=RESIDUALS, coverage=SHARES)
@settings(deadline=None)
def test_of_exchangeable_rows_at_least_the_declared_share_lies_within(
    residuals: list[float], coverage: float
) -> None:
    """If any of them could be the next one: the promise, exactly, in every sample of any size."""
    all_N, within = np.array(residuals), 0
    for place, truth in enumerate(all_N):
        below, above = reach(np.delete(all_N, place), coverage)
        within += -below <= truth <= above
    assert within >= Fraction(str(coverage)) * len(all_N)


@given(residuals=RESIDUALS, coverage=SHARES)
@settings(deadline=None)
def test_a_higher_coverage_reaches_no_less_far(residuals: list[float], coverage: float) -> None:
    """Nor does the order of rows matter, and the prediction itself is always within."""
    all_N = np.array(residuals)
    found, wider = reach(all_N, coverage), reach(all_N, (1 + coverage) / 2)
    assert min(found) >= 0 and wider[0] >= found[0] and wider[1] >= found[1]
    assert reach(all_N[::-1], coverage) == found


def test_ninety_percent_take_nineteen_rows() -> None:
    """With fewer, only an interval of everything could keep the promise."""
    assert reach(np.arange(18.0), 0.9) == (np.inf, np.inf)
    assert reach(np.arange(19.0), 0.9) == (0.0, 18.0)
    few = DELAY.calibrated(DELAY.scale(np.arange(9.0)), np.arange(9.0), np.zeros((9, 3)))
    assert DELAY.link(np.zeros((1, 1)), few).tolist() == [[4.0, 0.0, 1000.0]]


def learnt(rows: int, seed: int) -> tuple[Floats, Floats]:
    """Labels of rows, skewed, and a model's logits for them."""
    draw = np.random.default_rng(seed)
    expected_N = draw.uniform(100, 300, rows)
    return expected_N + draw.gamma(2, 20, rows) - 40, (expected_N[:, None] - 200) / 50


def test_new_rows_are_covered_as_declared_on_either_side() -> None:
    """Of a model whose errors are skewed: one width for both sides would be far too wide."""
    scale = Number(name="a", unit="min", tolerance=1).scale(np.array([150.0, 250.0]))
    codes_N, logits_N1 = learnt(2_000, 1)
    scale = DELAY.calibrated(scale, codes_N, DELAY.link(logits_N1, scale))
    assert scale.above > 1.5 * scale.below > 0
    codes_N, logits_N1 = learnt(20_000, 2)
    outputs_N3 = DELAY.link(logits_N1, scale)
    measured = DELAY.measured(codes_N, outputs_N3, Subjects.unknown(20_000))
    hits, trials = measured.shares["coverage"]
    assert trials == 20_000 and hits / trials == pytest.approx(0.9, abs=0.02)
    assert (codes_N > outputs_N3[:, 2]).mean() == pytest.approx(0.05, abs=0.015)
    width = measured.measure(np.ones((1, 20_000)))["width"][0]
    assert width == pytest.approx(scale.below + scale.above)


def test_rows_of_before_have_no_interval_and_are_not_counted() -> None:
    """They are in log and lake from the day on which the interval is declared."""
    outputs_N3 = kept_outputs(DELAY, [10.0, 20.0], [(), [20.0, 15.0, 40.0]])
    assert np.isnan(outputs_N3[0, 1:]).all() and outputs_N3[:, 0].tolist() == [10.0, 20.0]
    measured = DELAY.measured(np.array([10.0, 30.0]), outputs_N3, Subjects.unknown(2))
    assert measured.shares["coverage"] == (1, 1)
    values = measured.measure(np.ones((1, 2)))
    assert (values["coverage"][0], values["width"][0], values["mae"][0]) == (1, 25, 5)
    assert DELAY.answer([10.0]) == {"lower": None, "upper": None}
    assert DELAY.answer([20.0, 15.0, 40.0]) == {"lower": 15.0, "upper": 40.0}


def test_coverage_is_best_as_declared() -> None:
    """Intervals that hold everything are no better than those that hold too little."""
    goodness = DELAY.metrics["coverage"].goodness(np.array([0.8, 0.9, 1.0]))
    assert goodness[1] == 0 and goodness[0] == pytest.approx(goodness[2])


@pytest.mark.parametrize("share", [0, 1, 90])
def test_a_coverage_that_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(DeclarationError, match=r"Number\.interval is .*; expected none, or a sh"):
        Number(name="delay", unit="min", tolerance=5, interval=share)
