"""A deadline that promotes does so on outcomes only: while none come, the trial goes on."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ml_assets.core.policies import RolloutPolicy
from ml_assets.core.settings import Settings
from ml_assets.core.time import DAY
from ml_assets.feedback.judging import weighed
from ml_assets.registry.judgement import judge_challenger
from ml_assets.registry.models import ModelRegistry
from ml_assets.registry.rollout import Promote, Shadow
from ml_assets.registry.trials import Tried
from tests.feedback.test_pairs_of_slates import START, served
from tests.feedback.trial import STEADY, decide, registered, trial_of
from tests.toy import TOY

POLICY = RolloutPolicy(shares=(), deadline=timedelta(days=2), at_deadline="promote")


@pytest.mark.parametrize(("needed", "promoted_on"), [(20, 10), (0, 2), (60, 11)])
def test_yes_or_no_waits_for_the_end_of_a_label_outage_and_then_for_enough_outcomes(
    settings: Settings, registry: ModelRegistry, folder: Path, needed: int, promoted_on: int
) -> None:
    """No outcome of six days comes; later ones mature after three days."""
    registered(registry, folder, 2)
    system = replace(TOY, rollout=replace(POLICY, deadline_labels=needed))
    trial = trial_of(settings, Promote(version=1), Shadow(version=2), system=system,
                     v1=STEADY, v2=STEADY)
    while "promote" not in decide(trial, trial.serve(1, labels=trial.days >= 6)):
        assert trial.days < 15
    assert trial.days == promoted_on
    assert "2 days without evidence of harm" in trial.deployments.history("toy")[-1].reason


@pytest.mark.parametrize("taken", [False, True])
def test_an_order_is_not_judged_by_pages_of_which_nothing_is_taken(
    settings: Settings, taken: bool
) -> None:
    """They were shown, and scored by both: they order nothing, so they are no outcomes."""
    pairs = served(settings, Promote(version=1), Shadow(version=2), taken_at_all=taken)
    assert len(pairs.at) > 1000
    tried = Tried(version=2, reference=1, since=START, share=0.0, step_at=START)
    judged = judge_challenger(tried, weighed(pairs, POLICY, step_at=START), POLICY,
                              now=START + 3 * DAY)
    if taken:
        assert isinstance(judged.action, Promote)
    else:
        assert judged.action is None
        assert "0 paired outcomes are too few to show harm; it waits for 20" in judged.reason
