"""A model is retrained when that is expected to pay, by what past retrainings brought."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import sqrt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.automation.retraining import Situation, decide, figures
from ml_assets.automation.worth import Day, ExpectedBenefit, Lag, expected, lag_of
from ml_assets.core.errors import DeclarationError, StateDamaged
from ml_assets.core.policies import RetrainingPolicy, Worth
from ml_assets.core.settings import Settings
from ml_assets.evaluation.benefits import Benefit, Benefits
from tests.toy import TOY
from tests.trips import TRIPS

NOW = datetime(2024, 1, 10, tzinfo=UTC)
POLICY = RetrainingPolicy(worth=Worth(training=20.0), cooldown=timedelta(0))
FIRST = Benefit(version=1, before=None, at=NOW, fresh=1.0, measure="log_loss", value=0.2,
                lead=None, deviation=None)
TRAINED = Situation(
    now=NOW, last_trained_at=NOW - timedelta(days=9), learnt_until=NOW - timedelta(days=9),
    champion_age=timedelta(days=9), measure="log_loss",
)


def retrained(lead: float, *, deviation: float = 0.0, fresh: float = 0.5) -> Benefit:
    return replace(FIRST, version=2, before=1, fresh=fresh, lead=lead, deviation=deviation)


def test_before_anything_was_observed_the_declared_prior_speaks() -> None:
    """A tenth of the first model's own loss, as unsure as it is large."""
    assert expected([], 0.1) is None
    found = expected([FIRST], 0.1)
    assert found is not None and found.retrainings == 0
    assert (found.mean, found.deviation) == pytest.approx((0.02, 0.02))


def test_one_sure_retraining_weighs_as_much_as_the_prior() -> None:
    """It brought .03 with half of the labels new: .06 for all of them. Between .02 and .06."""
    found = expected([FIRST, retrained(0.03)], 0.1)
    assert found is not None and found.retrainings == 1
    assert (found.mean, found.deviation) == pytest.approx((0.04, 0.02 / sqrt(2)))


def test_an_unsure_one_weighs_less_and_older_ones_are_forgotten() -> None:
    """A lead that two hundred rows measured says little; nine retrainings ago says nothing."""
    unsure = expected([FIRST, retrained(0.03, deviation=0.1)], 0.1)
    assert unsure is not None and 0.02 < unsure.mean < 0.021
    recent = [retrained(-0.01)] * 8
    assert expected([FIRST, retrained(9.0), *recent], 0.1) == expected([FIRST, *recent], 0.1)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=20),
       st.integers(0, 200), st.booleans())
def test_the_lag_never_shrinks_and_no_more_is_new_than_all(
    days: list[tuple[int, int]], seen: int, whole: bool
) -> None:
    told = [Day(rows=rows, labels=labels) for rows, labels in days]
    lags = [lag_of(told[:count], seen=seen, whole=whole) for count in range(len(told) + 1)]
    assert lags[0] == Lag()
    for before, after in pairwise(lags):
        assert after.missed >= before.missed and after.fresh >= before.fresh
        assert after.fresh <= 1 and after.missed <= after.rows


def test_a_training_is_due_when_the_lag_has_cost_as_much() -> None:
    """1,000 answers of which 40% missed: at .05 a row that is 20."""
    benefit = ExpectedBenefit(mean=0.05, deviation=0.01, retrainings=3)
    lag = Lag(rows=1000, fresh=0.6, missed=400.0)
    due = decide(replace(TRAINED, lag=lag, benefit=benefit), POLICY)
    assert due.kind == "worth"
    assert due.reason == (
        "60% of the labels are new, which is expected to have cost 20 of log loss in 1,000 answers "
        "(a model of new labels alone: 0.05 a row less, ±0.01, from 3 retrainings); a training "
        "costs 20: retrain")
    early = decide(replace(TRAINED, lag=replace(lag, missed=399.0), benefit=benefit), POLICY)
    assert not early.train and "a training costs 20" in early.reason
    tried = decide(replace(TRAINED, lag=lag, benefit=benefit, on_trial=(7,)), POLICY)
    assert not tried.train and "a training costs 20, but version 7 is on trial" in tried.reason
    useless = ExpectedBenefit(mean=-0.05, deviation=0.01, retrainings=3)
    assert not decide(replace(TRAINED, lag=lag, benefit=useless), POLICY).train
    shown = figures(replace(TRAINED, lag=lag, benefit=benefit), POLICY)
    assert (shown["lag_cost"], shown["training_costs"]) == (20.0, 20.0)
    assert decide(replace(TRAINED, lag=lag), POLICY).kind == "none", "no model was evaluated"


@given(st.floats(0.001, 0.1), st.integers(50, 500), st.integers(10, 200))
def test_for_a_gap_that_grows_evenly_no_other_interval_costs_much_less(
    benefit: float, rows: int, labels: int
) -> None:
    """The square-root law; what is left is that days are whole, and that shares saturate."""
    seen, horizon, training = 10_000, 360, 20.0

    def cost(interval: int) -> float:
        lag = lag_of([Day(rows=rows, labels=labels)] * interval, seen=seen, whole=True)
        return (training + benefit * lag.missed) * horizon / interval

    own = next((days for days in range(1, horizon + 1) if benefit * lag_of(
        [Day(rows=rows, labels=labels)] * days, seen=seen, whole=True).missed >= training), horizon)
    best = min(map(cost, range(1, horizon + 1)))
    assert cost(own) <= 2 * best
    if 5 <= own <= 60:
        assert cost(own) <= 1.15 * best


def test_what_was_noted_is_read_back_as_it_was_known(settings: Settings) -> None:
    """Once for each pair of versions; of another measure it says nothing; damage is named."""
    benefits = Benefits(settings, TOY)
    assert benefits.known(NOW) == []
    second = replace(retrained(0.03), at=NOW + timedelta(days=1))
    for each in (FIRST, second, replace(second, lead=0.04)):
        benefits.note(each)
    assert benefits.known(NOW) == [FIRST]
    assert benefits.known(second.at) == [FIRST, replace(second, lead=0.04)]
    assert Benefits(settings, replace(TOY, retraining=replace(
        TOY.retraining, worth=Worth(training=1.0, measure="brier")))).known(second.at) == []
    for damage in ("{", '{"benefits": [{"version": 1}]}'):
        Path(benefits.path).write_text(damage)
        with pytest.raises(StateDamaged, match="Remove it"):
            benefits.known(NOW)


@pytest.mark.parametrize(("worth", "says"), [
    ((0.0, 0.1), "training"), ((1.0, 0.0), "prior"), ((float("nan"), 0.1), "training")])
def test_a_worthless_declaration_is_refused(worth: tuple[float, float], says: str) -> None:
    training, prior = worth
    with pytest.raises(DeclarationError, match=says):
        Worth(training=training, prior=prior)


def test_a_measure_is_one_of_the_targets_that_sums_over_rows() -> None:
    """An area under a curve adds up to nothing; of another target it does not exist."""
    for system, measure, sound in ((TOY, "log_loss", True), (TOY, "roc_auc", False),
                                   (TRIPS, "mae", True), (TRIPS, "rmse", False)):
        policy = replace(system.retraining, worth=Worth(training=1.0, measure=measure))
        if sound:
            assert replace(system, retraining=policy).retraining == policy
        else:
            with pytest.raises(DeclarationError, match=r"retraining\.worth\.measure"):
                replace(system, retraining=policy)
