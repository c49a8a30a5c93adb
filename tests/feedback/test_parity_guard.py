"""A version that alone was served wrong features is taken out."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from ml_assets.core.policies import RolloutPolicy
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import midnight
from ml_assets.feedback import parity_guard
from ml_assets.feedback.parity_guard import guard_parity
from ml_assets.registry.deployments import Deployments
from ml_assets.registry.rollout import Action, Canary, Promote, Shadow
from tests.toy import TOY
from tests.tracks import TRACKS

SERVED = pd.DataFrame({"prediction_id": ["a", "b", "c", "d"], "model_version": [1, 1, 2, 2]})


@pytest.fixture(params=[TOY, TRACKS], ids=["rows", "slates"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> System:
    monkeypatch.setattr(parity_guard, "follow", lambda *_: None)  # MLflow's aliases
    found: System = request.param
    return found


def records(system: System, settings: Settings, *actions: Action) -> Deployments:
    deployments = Deployments(settings.deployments)
    for action in (Promote(version=1), Shadow(version=2), *actions):
        deployments.act(system.name, action, reason="set up", by="tests",
                        at=midnight(system.calendar.go_live))
    return deployments


def test_a_canary_leaves_and_a_new_champion_makes_way(system: System, settings: Settings) -> None:
    deployments = records(system, settings, Canary(version=2, share=0.5))
    [left] = guard_parity(system, settings, SERVED, ["c"])
    assert (left.version, left.by) == (1, "guardrail parity") and 2 not in left.named
    assert "1 of 2 predictions read features that history does not give" in left.reason
    for action in (Shadow(version=3), Promote(version=3, watched=True)):
        deployments.act(system.name, action, reason="set up", by="tests",
                        at=midnight(system.calendar.go_live))
    of_both = SERVED.assign(model_version=[1, 1, 3, 3])
    [back] = guard_parity(system, settings, of_both, ["c", "d"])
    assert back.version == 1


def test_what_happens_to_both_is_evidence_against_neither(
    system: System, settings: Settings
) -> None:
    deployments = records(system, settings, Canary(version=2, share=0.5))
    before = deployments.history(system.name)
    unguarded = replace(system, rollout=RolloutPolicy(guardrails=None))
    for judged, differing in (
        (system, ["a", "c"]), (system, ["a"]), (system, []), (unguarded, ["c"]),
    ):
        assert guard_parity(judged, settings, SERVED, differing) == []
    assert guard_parity(system, settings, SERVED[2:], ["c"]) == []  # nothing to compare with
    assert deployments.history(system.name) == before
