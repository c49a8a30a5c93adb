"""Laws of the retraining decision: one reason, one run; never too early, never lost."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.automation.retraining import (
    KINDS,
    RetrainingDecision,
    Situation,
    decide,
    reasons,
)
from ml_assets.core.errors import DeclarationError
from ml_assets.core.policies import RetrainingPolicy
from ml_assets.core.time import in_words

LABELS, MAX_AGE = 200, timedelta(days=14)
POLICY = RetrainingPolicy(after_labels=LABELS, max_age=MAX_AGE, cooldown=timedelta(days=2))
TRAINED = datetime(2002, 8, 29, tzinfo=UTC)
NOW = TRAINED + timedelta(days=4)
QUIET = Situation(
    now=NOW, new_labels=87, last_trained_at=TRAINED, learnt_until=TRAINED,
    champion_age=timedelta(days=4),
)

spans = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=60))


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """Any situation at NOW; alarms may be older or younger than the last training."""
    trained = draw(st.none() | spans.map(lambda span: NOW - span))
    drift = draw(st.none() | spans.map(lambda span: NOW - span))
    return Situation(
        now=NOW,
        new_labels=draw(st.integers(0, 500)),
        last_trained_at=trained, learnt_until=trained,
        training_in_progress=draw(st.booleans()),
        attempted_at=draw(st.none() | spans.map(lambda span: NOW - span)),
        drift_confirmed=() if drift is None else ("links", "score"),
        drift_confirmed_at=drift,
        fallen_at=draw(st.none() | spans.map(lambda span: NOW - span)),
        champion_age=draw(st.none() | spans),
        on_trial=draw(st.sampled_from([(), (2,)])),
    )


def after_training(situation: Situation, wait: timedelta) -> Situation:
    """The same world `wait` after a training at `situation.now` whose model was not shipped."""
    age = situation.champion_age
    return replace(
        situation, now=situation.now + wait, last_trained_at=situation.now,
        learnt_until=situation.now, new_labels=0, attempted_at=None,
        champion_age=None if age is None else age + wait,
    )


def test_nothing_new_means_wait_and_says_what_was_seen() -> None:
    assert decide(QUIET, POLICY) == RetrainingDecision(
        train=False, kind="none",
        reason="87 of 200 labels matured since the last training on 2002-08-29, no drift "
        "confirmed, live quality holds, the model is 4 days old (limit 14 days): wait",
    )


def test_enough_labels_mean_train() -> None:
    assert decide(replace(QUIET, new_labels=213), POLICY) == RetrainingDecision(
        train=True, kind="labels",
        reason="213 labels matured since the last training on 2002-08-29, threshold 200: retrain",
    )


def test_the_threshold_itself_is_enough() -> None:
    assert decide(replace(QUIET, new_labels=200), POLICY).train
    assert not decide(replace(QUIET, new_labels=199), POLICY).train


def test_drift_confirmed_after_the_last_training_means_train() -> None:
    drifted = replace(QUIET, drift_confirmed=("a", "b", "c", "d", "e"),
                      drift_confirmed_at=TRAINED + timedelta(days=3))
    assert decide(drifted, POLICY) == RetrainingDecision(
        train=True, kind="drift",
        reason="drift of a, b, c and 2 more has stood confirmed since 2002-09-01 00:00, after the "
        "last training on 2002-08-29: retrain",
    )


def test_drift_that_the_last_training_has_seen_means_wait() -> None:
    drifted = replace(QUIET, drift_confirmed=("links",), drift_confirmed_at=TRAINED)
    decision = decide(drifted, POLICY)
    assert not decision.train
    assert "the drift of links was confirmed before it and is weighed again" in decision.reason


def test_drift_that_stands_after_a_refused_candidate_is_weighed_again() -> None:
    """After the declared time, and not while live outcomes have to decide on another one."""
    drifted = replace(QUIET, drift_confirmed=("links",), drift_confirmed_at=TRAINED)
    later = replace(drifted, now=TRAINED + POLICY.weigh_again)
    assert decide(later, POLICY) == RetrainingDecision(
        train=True, kind="drift",
        reason="drift of links has stood confirmed since 2002-08-29 00:00, and the candidate of "
        "2002-08-29 has not ended it in 7 days: retrain",
    )
    tried = decide(replace(later, on_trial=(7,)), POLICY)
    assert not tried.train and "and version 7 is on trial" in tried.reason
    fallen = replace(QUIET, fallen_at=TRAINED, now=later.now)
    assert decide(fallen, POLICY).kind == "performance"


def test_what_is_not_declared_is_no_reason() -> None:
    """Each can be left out; the sentence says so."""
    alarmed = replace(QUIET, new_labels=900, drift_confirmed=("links",), drift_confirmed_at=NOW,
                      fallen_at=NOW, champion_age=timedelta(days=99))
    never = RetrainingPolicy(on_drift=False, on_fall=False, cooldown=timedelta(0))
    assert decide(alarmed, never) == RetrainingDecision(
        train=False, kind="none",
        reason="900 labels matured since the last training on 2002-08-29, the drift of links was "
        "confirmed and is no reason here, live quality had fallen and is no reason here, the model "
        "is 99 days old: wait",
    )
    assert [kind for kind, _ in reasons(alarmed, never)] == []


@given(situations())
def test_each_reason_holds_by_itself(situation: Situation) -> None:
    """J1: an automaton that asks for one kind is answered as if there were no other."""
    standing = [kind for kind, _ in reasons(situation, POLICY)]
    for kind in KINDS:
        alone = decide(situation, POLICY, {kind})
        assert alone.kind == kind if alone.train else True
        if decide(situation, POLICY).train:
            assert alone.train == (kind in standing)


def test_fallen_quality_means_train_once() -> None:
    fallen = replace(QUIET, fallen_at=TRAINED + timedelta(days=1))
    assert decide(fallen, POLICY).kind == "performance"
    later = decide(after_training(fallen, timedelta(days=5)), POLICY)
    assert not later.train
    assert "live quality had fallen before it and is weighed again on 2002-09-09" in later.reason


def test_an_old_model_is_trained_again() -> None:
    old = replace(QUIET, now=TRAINED + timedelta(days=15), champion_age=timedelta(days=15))
    assert decide(old, POLICY) == RetrainingDecision(
        train=True, kind="age",
        reason="the model is 15 days old (limit 14 days) and nothing was trained for 15 days: "
        "retrain",
    )


def test_a_model_past_its_limit_that_must_wait_says_why_and_until_when() -> None:
    """"11 days old (limit 10 days): wait" alone would contradict itself."""
    old = replace(QUIET, champion_age=timedelta(days=16))
    assert decide(old, POLICY) == RetrainingDecision(
        train=False, kind="none",
        reason="87 of 200 labels matured since the last training on 2002-08-29, no drift "
        "confirmed, live quality holds, the model is 16 days old (limit 14 days), but the training "
        "4 days ago put no newer one in traffic, and age counts from it: wait until "
        "2002-09-12 00:00",
    )


@given(situations())
def test_whoever_waits_past_a_limit_says_until_when_and_then_no_longer_waits(
    situation: Situation,
) -> None:
    decision = decide(situation, POLICY)
    last, age = situation.last_trained_at, situation.champion_age
    past = (situation.new_labels >= LABELS or (age is not None and age > MAX_AGE))
    if decision.train or situation.training_in_progress or last is None or not past:
        return
    until = re.search(r"wait until (\d{4}-\d\d-\d\d \d\d:\d\d)$", decision.reason)
    assert until is not None and ", but the " in decision.reason
    then = datetime.strptime(f"{until[1]}+0000", "%Y-%m-%d %H:%M%z") + timedelta(minutes=2)
    assert then > NOW
    waited = then - situation.now
    assert decide(replace(
        situation, now=then, champion_age=None if age is None else age + waited
    ), POLICY).train


def test_the_first_model_needs_one_label() -> None:
    nothing = Situation(now=NOW)
    assert decide(nothing, POLICY) == RetrainingDecision(
        train=False, kind="none",
        reason="nothing has been trained yet and no label has matured: wait",
    )
    assert decide(replace(nothing, new_labels=1), POLICY) == RetrainingDecision(
        train=True, kind="first",
        reason="nothing has been trained yet and 1 label matured: train",
    )


def test_the_cooldown_is_said_with_its_end() -> None:
    early = replace(QUIET, new_labels=213, now=TRAINED + timedelta(hours=30))
    assert decide(early, POLICY) == RetrainingDecision(
        train=False, kind="none",
        reason="213 labels matured since the last training on 2002-08-29, threshold 200, but the "
        "last training started 1.2 days ago (cooldown 2 days): wait until 2002-08-31 00:00",
    )


def test_a_training_that_failed_is_tried_again_after_the_cooldown_and_then_ever_later() -> None:
    asked = replace(QUIET, new_labels=213, attempted_at=NOW, failed=1)
    soon = decide(replace(asked, now=NOW + timedelta(hours=1)), POLICY)
    assert not soon.train
    assert ("the last training failed (1 in a row), asked for 1 hour ago (back-off 2 days): wait "
            "until 2002-09-04 00:00") in soon.reason
    assert decide(replace(asked, now=NOW + POLICY.cooldown), POLICY).kind == "labels"
    for failed, days in ((2, 4), (3, 7), (20, 7)):
        often = replace(asked, failed=failed)
        assert not decide(replace(often, now=NOW + timedelta(days=days, hours=-1)), POLICY).train
        assert decide(replace(often, now=NOW + timedelta(days=days)), POLICY).train


@pytest.mark.parametrize("cooldown", [timedelta(0), timedelta(minutes=1)])
def test_a_failed_training_is_never_asked_for_every_half_minute(cooldown: timedelta) -> None:
    """Although no cooldown is declared."""
    eager = replace(POLICY, cooldown=cooldown)
    failed = replace(QUIET, new_labels=213, attempted_at=NOW, failed=1)
    assert not decide(replace(failed, now=NOW + timedelta(minutes=59)), eager).train
    assert decide(replace(failed, now=NOW + timedelta(hours=1)), eager).train


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=3650)])
def test_an_attempt_ahead_of_the_clock_holds_back_no_longer_than_twice(ahead: timedelta) -> None:
    """The clock was set back: by an hour the attempt still counts, by ten years it is none."""
    failed = replace(QUIET, new_labels=213, attempted_at=NOW + ahead, failed=1)
    decision = decide(failed, POLICY)
    assert decision.train == (ahead > POLICY.cooldown)
    assert decision.train or "1 hour ahead of the clock" in decision.reason
    assert decide(replace(failed, now=NOW + 2 * POLICY.cooldown), POLICY).train


def test_a_drift_without_its_instant_is_refused() -> None:
    with pytest.raises(DeclarationError, match="drift_confirmed_at"):
        replace(QUIET, drift_confirmed=("links",))


@given(situations())
def test_a_training_in_progress_is_never_joined_by_another(situation: Situation) -> None:
    decision = decide(replace(situation, training_in_progress=True), POLICY)
    assert not decision.train
    assert "in progress" in decision.reason


@given(situations(), st.timedeltas(min_value=timedelta(0), max_value=POLICY.cooldown))
def test_no_training_starts_within_the_cooldown(situation: Situation, wait: timedelta) -> None:
    early = replace(situation, last_trained_at=situation.now - wait,
                    learnt_until=situation.now - wait)
    assert not decide(early, POLICY).train or wait == POLICY.cooldown


@given(situations())
def test_a_reason_that_the_cooldown_held_back_fires_after_it(situation: Situation) -> None:
    situation = replace(situation, on_trial=())
    eager = decide(replace(situation, training_in_progress=False),
                   replace(POLICY, cooldown=timedelta(0)))
    patient = decide(replace(situation, training_in_progress=False), POLICY)
    if eager.train and not patient.train:
        starts = [at for at in (situation.last_trained_at, situation.attempted_at) if at]
        ended = replace(situation, training_in_progress=False, now=max(starts) + POLICY.cooldown)
        assert decide(ended, POLICY).train


@given(situations(), st.timedeltas(
    min_value=timedelta(0), max_value=POLICY.weigh_again - timedelta(microseconds=1)))
def test_one_reason_leads_to_one_run(situation: Situation, wait: timedelta) -> None:
    """Whatever came of the training, the same facts do not start a second one."""
    if decide(situation, POLICY).train:
        assert not decide(after_training(situation, wait), POLICY).train


@given(situations())
def test_every_reason_is_one_sentence_that_ends_in_what_to_do(situation: Situation) -> None:
    decision = decide(situation, POLICY)
    assert decision.train == (decision.kind != "none")
    assert "\n" not in decision.reason
    outcome = decision.reason.rpartition(": ")[2]
    assert outcome.startswith(("retrain", "train") if decision.train else "wait")


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(days=4), "4 days"),
        (timedelta(days=1), "1 day"),
        (timedelta(hours=36), "1.5 days"),
        (timedelta(hours=6), "6 hours"),
        (timedelta(minutes=10), "10 minutes"),
        (timedelta(seconds=3), "3 seconds"),
    ],
)
def test_a_span_is_said_in_words(span: timedelta, words: str) -> None:
    assert in_words(span) == words
