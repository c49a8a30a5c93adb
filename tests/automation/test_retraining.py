"""Laws of the retraining decision: one reason, one run; never too early, never lost."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.automation.retraining import RetrainingDecision, Situation, decide, in_words
from ml_assets.core.errors import DeclarationError
from ml_assets.core.policies import RetrainingPolicy

POLICY = RetrainingPolicy(
    after_labels=200, max_age=timedelta(days=14), cooldown=timedelta(days=2)
)
TRAINED = datetime(2002, 8, 29, tzinfo=UTC)
NOW = TRAINED + timedelta(days=4)
QUIET = Situation(
    now=NOW, new_labels=87, last_trained_at=TRAINED, champion_age=timedelta(days=4)
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
        last_trained_at=trained,
        training_in_progress=draw(st.booleans()),
        attempted_at=draw(st.none() | spans.map(lambda span: NOW - span)),
        drift_confirmed=() if drift is None else ("links", "score"),
        drift_confirmed_at=drift,
        fallen_at=draw(st.none() | spans.map(lambda span: NOW - span)),
        champion_age=draw(st.none() | spans),
    )


def after_training(situation: Situation, wait: timedelta) -> Situation:
    """The same world `wait` after a training at `situation.now` whose model was not shipped."""
    age = situation.champion_age
    return replace(
        situation, now=situation.now + wait, last_trained_at=situation.now, new_labels=0,
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
    assert "the drift of links was confirmed before it" in decision.reason


def test_fallen_quality_means_train_once() -> None:
    fallen = replace(QUIET, fallen_at=TRAINED + timedelta(days=1))
    assert decide(fallen, POLICY).kind == "performance"
    later = decide(after_training(fallen, timedelta(days=5)), POLICY)
    assert not later.train
    assert "live quality had fallen before it" in later.reason


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
    past = (situation.new_labels >= POLICY.after_labels
            or (age is not None and age > POLICY.max_age))
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


def test_a_training_that_failed_is_tried_again_after_the_cooldown_and_not_before() -> None:
    asked = replace(QUIET, new_labels=213, attempted_at=NOW)
    soon = decide(replace(asked, now=NOW + timedelta(hours=1)), POLICY)
    assert not soon.train
    assert "the last training started 1 hour ago" in soon.reason
    assert decide(replace(asked, now=NOW + POLICY.cooldown), POLICY).kind == "labels"


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
    early = replace(situation, last_trained_at=situation.now - wait)
    assert not decide(early, POLICY).train or wait == POLICY.cooldown


@given(situations())
def test_a_reason_that_the_cooldown_held_back_fires_after_it(situation: Situation) -> None:
    eager = decide(replace(situation, training_in_progress=False),
                   replace(POLICY, cooldown=timedelta(0)))
    patient = decide(replace(situation, training_in_progress=False), POLICY)
    if eager.train and not patient.train:
        starts = [at for at in (situation.last_trained_at, situation.attempted_at) if at]
        ended = replace(situation, training_in_progress=False, now=max(starts) + POLICY.cooldown)
        assert decide(ended, POLICY).train


@given(situations(), st.timedeltas(min_value=timedelta(0), max_value=POLICY.max_age))
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
