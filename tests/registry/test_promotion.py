"""Laws of promotion: who ships, who stays, and what is said."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ml_assets.core.errors import NotReady
from ml_assets.registry.deployments import Deployment, Deployments
from ml_assets.registry.models import ModelRegistry
from ml_assets.registry.promotion import decide, ship

AT = datetime(2024, 1, 8, tzinfo=UTC)
GOOD = {"name": "roc_auc_floor", "comparing": False, "passed": True,
        "says": "roc_auc 0.99 is at least 0.97"}
BETTER = {"name": "log_loss_better", "comparing": True, "passed": True,
          "says": "log_loss 0.2 is 0.1 better"}
BAD = {"name": "log_loss_better", "comparing": True, "passed": False,
       "says": "log_loss 0.2 is 0.1 worse"}


def report(candidate: int, champion: int | None, *gates: dict[str, Any]) -> dict[str, Any]:
    return {"system": "toy", "candidate": candidate, "champion": champion, "gates": list(gates)}


def deployed(*versions: int) -> list[Deployment]:
    return [
        Deployment(id=place, system="toy", version=version, reason="it was better", by="tests",
                   at=AT, previous=versions[place - 2] if place > 1 else None)
        for place, version in enumerate(versions, 1)
    ]


def test_a_first_candidate_that_passes_is_deployed() -> None:
    decision = decide(report(1, None, GOOD), [])
    assert decision.deploy
    assert decision.reason == "the first model, its gate passed: roc_auc 0.99 is at least 0.97"


def test_a_candidate_that_passes_replaces_the_champion_and_says_by_how_much() -> None:
    decision = decide(report(2, 1, GOOD, BETTER), deployed(1))
    assert decision.deploy
    assert decision.reason == (
        "it replaces version 1, all 2 gates passed: log_loss 0.2 is 0.1 better"
    )


def test_without_gates_every_candidate_is_deployed() -> None:
    assert decide(report(2, 1), deployed(1)).reason == "it replaces version 1, no gate is declared"


def test_a_candidate_that_fails_any_gate_leaves_the_champion() -> None:
    decision = decide(report(2, 1, GOOD, BAD), deployed(1))
    assert not decision.deploy
    assert decision.reason == (
        "version 1 stays, version 2 failed log_loss_better: log_loss 0.2 is 0.1 worse"
    )


def test_a_first_candidate_that_fails_leaves_nothing_deployed() -> None:
    decision = decide(report(1, None, BAD), [])
    assert not decision.deploy
    assert decision.reason.startswith("nothing is deployed, version 1 failed log_loss_better")


def test_the_champion_is_not_deployed_again() -> None:
    assert not decide(report(2, 1, GOOD), deployed(1, 2)).deploy


def test_a_version_that_was_rolled_back_is_not_shipped_twice() -> None:
    decision = decide(report(2, 1, GOOD), deployed(1, 2, 1))
    assert not decision.deploy
    assert "version 2 was deployed on 2024-01-08 00:00 and version 1 has taken its place" in (
        decision.reason
    )


def test_a_verdict_against_another_champion_decides_nothing() -> None:
    with pytest.raises(NotReady, match="compared version 3 with version 1, but the champion is "
                                       "now version 2: materialise toy/evaluation again"):
        decide(report(3, 1, GOOD), deployed(1, 2))
    with pytest.raises(NotReady, match="with version 1, but the champion is now no version"):
        decide(report(3, 1, GOOD), [])


def test_shipping_twice_is_shipping_once(
    registry: ModelRegistry, folder: Path, tmp_path: Path
) -> None:
    deployments = Deployments(tmp_path / "deployments.sqlite")

    def shipped() -> tuple[int | None, str, int]:
        done = ship("shipped", registry, deployments, by="tests", at=AT)
        version = None if done.current is None else done.current.version
        return version, done.reason, done.count

    with pytest.raises(NotReady, match="materialise shipped/model first"):
        shipped()
    registry.register("shipped", folder, params={}, metrics={}, tags={})
    with pytest.raises(NotReady, match="version 1 of 'shipped' is not evaluated yet"):
        shipped()
    registry.log_evaluation("shipped", 1, report(1, None, GOOD))
    assert shipped() == (1, "the first model, its gate passed: roc_auc 0.99 is at least 0.97", 1)
    assert shipped() == (1, "version 1 is the champion already", 1)
    assert registry.aliased("shipped", "champion") == 1

    registry.register("shipped", folder, params={}, metrics={}, tags={})
    registry.log_evaluation("shipped", 2, report(2, 1, BAD))
    version, reason, count = shipped()
    assert (version, count) == (1, 1)
    assert reason.startswith("version 1 stays, version 2 failed")
    assert registry.aliased("shipped", "champion") == 1
    registry.log_evaluation("shipped", 2, report(2, 1, GOOD))
    assert shipped()[0] == 2

    deployments.rollback("shipped", reason="complaints", by="tests", at=AT)
    version, reason, count = shipped()
    assert (version, count) == (1, 3)
    assert "(complaints): train a new candidate" in reason
    assert registry.aliased("shipped", "champion") == 1
