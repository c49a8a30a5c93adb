"""A day's judgement on real stores: pairs, evidence, and the record that follows from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from math import log
from pathlib import Path

import numpy as np
import pytest

from ml_assets.core.policies import RolloutPolicy
from ml_assets.core.settings import Settings
from ml_assets.core.time import DAY
from ml_assets.core.truths import Complaints
from ml_assets.feedback.judging import guarded, weighed
from ml_assets.feedback.pairs import Paired, paired
from ml_assets.registry.models import ModelRegistry
from ml_assets.registry.record import BY_GUARDRAIL
from ml_assets.registry.rollout import Canary, Promote, Shadow, Withdraw
from ml_assets.registry.trials import challenged
from tests.feedback.trial import (
    BETTER,
    FIRST,
    PER_DAY,
    START,
    STEADY,
    Trial,
    decide,
    registered,
    trial_of,
)
from tests.toy import TOY

SURE = log(1 / 0.05)
SIDED = replace(TOY, truth=Complaints(source="buyer", within=timedelta(hours=1),
                                      maturity=timedelta(days=1)))


def pairs_of(trial: Trial, end: datetime, *, bound: float = 2.0) -> Paired:
    history = trial.deployments.history(trial.system.name)
    return paired(trial.system, trial.settings, challenged(history)[0], history, bound=bound,
                  end=end)


def test_only_matured_outcomes_count_each_once_and_in_order(settings: Settings) -> None:
    """Of five days, the last three are younger than the maturity of a label."""
    trial = trial_of(settings, Promote(version=1), Shadow(version=2), v1=STEADY, v2=BETTER)
    pairs = pairs_of(trial, trial.serve(5))
    assert len(pairs.whole.leads_C) == 2 * PER_DAY
    assert pairs.at.is_monotonic_increasing
    assert pairs.whole.leads_C == pytest.approx(np.full(2 * PER_DAY, log(0.8 / 0.7)))
    assert (pairs.whole.reaches_C == 2.0).all()
    assert len(pairs.slices["cheap"].leads_C) == pytest.approx(PER_DAY, abs=5)


def test_what_a_guardrail_took_out_is_told_on_that_day(settings: Settings) -> None:
    trial = trial_of(settings, Promote(version=1), Shadow(version=2), Shadow(version=3))
    for version, by in ((2, f"{BY_GUARDRAIL} failures"), (3, "ann")):
        trial.deployments.act("toy", Withdraw(version=version), reason=f"{version} fails", by=by,
                              at=START + timedelta(hours=30))
    assert guarded(TOY, settings, FIRST) == []
    assert guarded(TOY, settings, FIRST + DAY) == ["2 fails"]


def test_a_loss_counts_no_more_than_the_bound(settings: Settings) -> None:
    trial = trial_of(settings, Promote(version=1), Shadow(version=2), v1=STEADY, v2=[1e-9])
    pairs = pairs_of(trial, trial.serve(5))
    assert pairs.whole.leads_C == pytest.approx(np.full(2 * PER_DAY, -log(0.7) - 2.0))


def test_while_two_share_the_traffic_each_outcome_still_compares_both(settings: Settings) -> None:
    """Labels that depend on nobody's answer need no weights."""
    trial = trial_of(settings, Promote(version=1), Canary(version=2, share=0.3),
                     v1=STEADY, v2=BETTER)
    pairs = pairs_of(trial, trial.serve(5))
    assert pairs.whole.leads_C == pytest.approx(np.full(2 * PER_DAY, log(0.8 / 0.7)))


ERRS = [0.9] * 8 + [0.1] + [0.9]
ERRS_TOO = [0.9] * 9 + [0.1]
"""Equally good, each wrong where the other is right."""


def test_labels_that_side_with_who_answered_are_weighed_by_propensities(
    settings: Settings, tmp_path: Path
) -> None:
    """Of equal models, with half of the mistakes reported: in the champion's shadow the challenger
    seems worse, while both answer it does not."""
    alone = trial_of(settings, Promote(version=1), Shadow(version=2), system=SIDED, v1=ERRS,
                     v2=ERRS_TOO)
    in_shadow = pairs_of(alone, alone.serve(30, reported=0.0), bound=3.0).whole
    assert in_shadow.leads_C.mean() < -0.2
    both = trial_of(Settings(var=tmp_path / "both"), Promote(version=1),
                    Canary(version=2, share=0.3), system=SIDED, v1=ERRS, v2=ERRS_TOO)
    shared = pairs_of(both, both.serve(30, reported=0.0), bound=3.0).whole
    error = shared.leads_C.std() / np.sqrt(len(shared.leads_C))
    assert abs(shared.leads_C.mean()) < 3 * error < 0.2
    assert shared.reaches_C == pytest.approx(np.full(len(shared.leads_C), 3.0 * 0.5 / 0.3))
    assert (np.abs(shared.leads_C) <= shared.reaches_C).all()


def test_harm_on_a_slice_is_found_although_all_in_all_the_version_is_better(
    settings: Settings,
) -> None:
    """Better on dear purchases, worse on cheap ones (amount n % 20 below 10)."""
    mixed = [0.55] * 10 + [0.9] * 10
    trial = trial_of(settings, Promote(version=1), Shadow(version=2), v1=STEADY, v2=mixed)
    seen = weighed(pairs_of(trial, trial.serve(12)), TOY.rollout, step_at=START)
    whole, cheap = seen.parts
    assert (whole.name, cheap.name) == (None, "cheap")
    assert whole.lead is not None and cheap.lead is not None
    assert cheap.lead < 0 and cheap.worse > SURE + log(2)
    assert seen.step_pairs == whole.pairs == 9 * PER_DAY


def test_a_better_challenger_goes_its_way_day_by_day_and_its_predecessor_retires(
    settings: Settings, registry: ModelRegistry, folder: Path
) -> None:
    """The whole state machine on the real record; each day asked twice, as after a crash."""
    system = replace(TOY, rollout=RolloutPolicy(shares=(0.1, 0.5), watch=timedelta(days=4)))
    registered(registry, folder, 2)
    trial = trial_of(settings, Promote(version=1), Shadow(version=2), system=system,
                     v1=STEADY, v2=BETTER)
    done = []
    for _ in range(12):
        end = trial.serve(1)
        done += [did for did in decide(trial, end) if did != "hold"]
        assert {"hold"} >= set(decide(trial, end))
    assert done == ["canary", "canary", "promote", "shadow"]
    history = trial.deployments.history("toy")
    assert history[-1].named == (2,)
    assert [each.action for each in history[2:]] == ["canary", "canary", "promote", "shadow"]
    assert "version 2 is better than version 1: its loss is 0.1335 lower" in history[4].reason
    assert registry.aliased("toy", "champion") == 2


def test_a_champion_that_turns_out_worse_is_sent_back_while_the_next_one_is_tried(
    settings: Settings, registry: ModelRegistry, folder: Path
) -> None:
    registered(registry, folder, 3)
    trial = trial_of(settings, Promote(version=1), Promote(version=2, watched=True),
                     v1=BETTER, v2=STEADY, v3=STEADY)
    done: list[str] = []
    while "withdraw" not in done and trial.days < 20:
        done += decide(trial, trial.serve(1))
    assert "withdraw" in done and trial.days < 12
    history = trial.deployments.history("toy")
    assert history[-1].named == (1, 3)
    assert [each.reason.split(",")[0] for each in history[2:]] == [
        "version 3 challenges version 2", "version 1 is back"]
    assert "version 2 is worse: its loss is 0.1335 higher" in history[-1].reason
    # From now on the other one is compared with the champion that is back.
    assert challenged(history)[0].reference == 1
