"""A model is retrained when that is expected to pay, by what past retrainings brought."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import sqrt
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.automation.retraining import Situation, decide, figures
from ml_assets.automation.situation import last_learnt, worth_of
from ml_assets.automation.worth import Day, ExpectedBenefit, Lag, expected, lag_of
from ml_assets.core.errors import DeclarationError, StateDamaged
from ml_assets.core.policies import RetrainingPolicy, Worth
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.evaluation.benefits import Benefit, Benefits, answers_in, benefit_of, judged_share
from ml_assets.evaluation.report import Scored, evaluate
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import events_schema, known_schema
from ml_assets.replay.league.machine import measured
from tests.toy import TOY
from tests.tracks import TRACKS
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
    told = [Day(answers=rows, labels=labels) for rows, labels in days]
    lags = [lag_of(told[:count], seen=seen, whole=whole) for count in range(len(told) + 1)]
    assert lags[0] == Lag()
    for before, after in pairwise(lags):
        assert after.missed >= before.missed and after.fresh >= before.fresh
        assert after.fresh <= 1 and after.missed <= after.answers


def test_a_training_is_due_when_the_lag_has_cost_as_much() -> None:
    """1,000 answers of which 40% missed: at .05 a row that is 20."""
    benefit = ExpectedBenefit(mean=0.05, deviation=0.01, retrainings=3)
    lag = Lag(answers=1000, fresh=0.6, missed=400.0)
    due = decide(replace(TRAINED, lag=lag, benefit=benefit), POLICY)
    assert due.kind == "worth"
    assert due.reason == (
        "60% of the labels are new, which is expected to have cost 20 of log loss in 1,000 answers "
        "(a model of new labels alone: 0.05 an answer less, ±0.01, from 3 retrainings); a "
        "training costs 20: retrain")
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
        lag = lag_of([Day(answers=rows, labels=labels)] * interval, seen=seen, whole=True)
        return (training + benefit * lag.missed) * horizon / interval

    day = Day(answers=rows, labels=labels)
    own = next((days for days in range(1, horizon + 1) if benefit * lag_of(
        [day] * days, seen=seen, whole=True).missed >= training), horizon)
    best = min(map(cost, range(1, horizon + 1)))
    assert cost(own) <= 2 * best
    if 5 <= own <= 60:
        assert cost(own) <= 1.15 * best


def counted(system: System, measure: str | None) -> System:
    return replace(system, slices=(), gates=(), retraining=replace(
        system.retraining, worth=Worth(training=1.0, measure=measure)))


def suggestions(pages: int, items: int = 4) -> pd.DataFrame:
    """Pages of tracks, of each third one of which nothing was taken; to a toy, single rows."""
    draw = np.random.default_rng(7)
    taken = [page % 3 > 0 and place == draw.integers(items)
             for page in range(pages) for place in range(items)]
    happened = pd.date_range(NOW, periods=pages * items, freq="s")
    return pd.DataFrame({
        "event_id": [f"o{page}#{place + 1}" for page in range(pages) for place in range(items)],
        "event_timestamp": happened, "label": taken, "truth": taken, "hour": 1.0,
        "listener": [f"l{page % 20}" for page in range(pages) for _ in range(items)],
        "track": list(range(items)) * pages, "propensity": 0.5, "position": 1})


@pytest.mark.parametrize(("system", "answers"), [
    (counted(TRACKS, None), 60), (counted(TOY, None), 240)])
def test_what_a_retraining_brought_is_what_the_answers_that_measured_it_came_to(
    system: System, answers: int
) -> None:
    """Over all of them, as the league adds up: a page loses once however many rows it has, and a
    page of which nothing was taken loses nothing."""
    rows, draw = suggestions(60), np.random.default_rng(11)
    codes = system.target.codes(rows["label"].tolist())
    outputs = [np.clip(0.3 + 0.1 * codes + draw.normal(0, noise, len(rows)), 0.01, 0.99)[:, None]
               for noise in (0.05, 0.2)]
    found = benefit_of(
        system, evaluate(system, rows, Scored(version=2, outputs=outputs[0]),
                         Scored(version=1, outputs=outputs[1])),
        fresh=0.5, at=NOW, judged=judged_share(system, rows))
    assert found is not None and found.lead is not None and found.deviation is not None
    assert answers_in(system, pa.array(rows["event_id"])) == answers
    came_to = [measured(system, rows, each).sum() for each in outputs]
    assert found.value * answers == pytest.approx(came_to[0])
    assert found.lead * answers == pytest.approx(came_to[1] - came_to[0])
    assert 0 < found.deviation < found.lead


@pytest.mark.parametrize(("system", "answers"), [
    (counted(TRACKS, None), 40), (counted(TRACKS, "log_loss"), 160), (counted(TOY, None), 160)])
def test_a_lag_is_counted_in_the_answers_that_the_measure_is_the_mean_of(
    settings: Settings, system: System, answers: int
) -> None:
    """Pages where pages are judged, else rows; labels are rows on both sides of their share."""
    lake, rows = Lake(settings.lake), suggestions(40).assign(
        accepted_at=NOW, log_seq=1, shop="s", note="n", amount=1.0)
    day, known = NOW.date(), rows.assign(known_at=rows["event_timestamp"], basis="feedback")
    lake.write(system.name, "events", day, rows[events_schema(system).names],
               events_schema(system))
    lake.write(system.name, "labels", day, known[known_schema(system).names],
               known_schema(system))
    sets = TrainingSets(settings, system)
    sets.folder.mkdir(parents=True)
    at = midnight(day).isoformat()
    (sets.folder / "latest.json").write_text(json.dumps({
        "version": "v", "as_of": at, "concluded_as_of": at, "concluded_learnt_until": at,
        "feature_names": [], "texts": [], "partitions": [str(day - DAY), str(day - DAY)],
        "feature_service": "s", "labels": len(rows), "events_lacking": 0}))
    lag, _ = worth_of(system, settings, last_learnt(system, settings, NOW + DAY), NOW + DAY)
    assert (lag.answers, lag.fresh) == (answers, 0.5)


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
