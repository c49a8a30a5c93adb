"""Laws of what held-out rows say of live ones: of their losses, and of those to come."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from ml_assets.monitoring.concept import (
    LEVEL,
    ConceptDrift,
    HeldOutLosses,
    concept_drift,
    numbered,
    said,
)
from ml_assets.monitoring.estimated import expected_loss

FIRST = date(2024, 3, 4)


def held_out(random: np.random.Generator, rows: int = 500, mean: float = 0.2) -> HeldOutLosses:
    return HeldOutLosses(losses_N=random.exponential(mean, rows),
                         days_N=np.sort(random.integers(0, 14, rows)), bound=1.0)


def looked(
    held: HeldOutLosses, losses: np.ndarray, per_day: int, days: int, earlier: int = 0
) -> ConceptDrift | None:
    return concept_drift(held, losses[:per_day * days], np.repeat(np.arange(days), per_day),
                         first=FIRST, last=FIRST + timedelta(days=days - 1), earlier=earlier)


@pytest.mark.parametrize(("rows", "per_day"), [(200, 20), (1_000, 100)])
def test_losses_that_are_as_they_were_alarm_in_a_twentieth_of_reigns(
    rows: int, per_day: int
) -> None:
    """Looked at on each of 28 days; of 100 reigns, 11 or more come of 5% in one of 90 cases."""
    random, alarms = np.random.default_rng(1), 0
    for _ in range(100):
        held, live = held_out(random, rows), random.exponential(0.2, 28 * per_day)
        found = (looked(held, live, per_day, days) for days in range(1, 29, 3))
        alarms += any(each is not None and each.sure for each in found)
    assert alarms <= 2 * 100 * LEVEL


def test_a_higher_loss_is_sure_dated_and_told() -> None:
    random = np.random.default_rng(2)
    held = held_out(random, 2_000)
    live = np.r_[random.exponential(0.2, 1_000), random.exponential(0.3, 1_000)]
    found = looked(held, live, 100, 20)
    assert found is not None and found.sure and found.rows == 2_000
    assert found.since is not None and abs((found.since - FIRST).days - 10) <= 2
    assert 0.03 < found.lead < 0.15
    words = said(found, "log loss")
    assert words.startswith("live log loss is 0.1") and "more than held out on 2000" in words
    assert "most likely since 2024-03-1" in words


def test_a_lower_loss_is_no_alarm_and_neither_is_one_that_matters_to_nobody() -> None:
    random = np.random.default_rng(3)
    better = looked(held_out(random), random.exponential(0.1, 2_000), 100, 20)
    assert better is not None and not better.sure and better.lead < 0
    many = HeldOutLosses(losses_N=np.tile([0.0, 0.2], 500_000), days_N=np.zeros(10**6, np.int64),
                         bound=1.0)
    tiny = looked(many, np.tile([0.002, 0.202], 500_000), 50_000, 20)
    assert tiny is not None and tiny.log_e > 3 and not tiny.sure


def test_one_huge_loss_decides_nothing_and_days_left_out_make_evidence_smaller() -> None:
    random = np.random.default_rng(4)
    held, live = held_out(random), random.exponential(0.2, 200)
    live[7] = 1e12
    found = looked(held, live, 20, 10)
    assert found is not None and not found.sure
    worse = random.exponential(0.35, 400)
    now, later = looked(held, worse, 20, 20), looked(held, worse, 20, 20, earlier=40)
    assert now is not None and later is not None and later.log_e < now.log_e
    assert looked(held, worse, 20, 0) is None


def test_days_are_counted_from_the_first() -> None:
    since_1970 = np.array([(FIRST - date(1970, 1, 1)).days + 2])
    assert numbered(since_1970, FIRST).tolist() == [2]


def rows(random: np.random.Generator, count: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities, and the log losses of what came true."""
    p = 1 / (1 + np.exp(-random.normal(0, spread, count)))
    true = random.random(count) < p
    return p, -np.log(np.where(true, p, 1 - p))


def test_what_is_expected_before_labels_holds_the_truth() -> None:
    """Also where more of what is asked is hard: a mix that the held-out rows have less of. Of 200,
    17 or more misses come of 5% in one of 100 cases."""
    random, missed = np.random.default_rng(5), 0
    for spread in (2.0, 1.0):
        for _ in range(100):
            held_p, held_loss = rows(random, 2_000, 2.0)
            live_p, live_loss = rows(random, 700, spread)
            found = expected_loss(held_p, held_loss, live_p, days=7)
            assert found is not None and found.loss.low is not None and found.loss.high is not None
            assert found.n == 700
            missed += not found.loss.low <= live_loss.mean() <= found.loss.high
    assert missed <= 16


def test_too_few_rows_are_no_estimate() -> None:
    some = np.linspace(0, 1, 99)
    assert expected_loss(some, some, some, days=7) is None
    assert expected_loss(np.tile(some, 2), np.tile(some, 2), np.empty(0), days=7) is None
    beyond = expected_loss(np.tile(some, 2), np.tile(some, 2), np.array([5.0, -3.0]), days=7)
    assert beyond is not None and beyond.loss.value is not None and 0 <= beyond.loss.value <= 1
