"""Laws of promotion: who ships, who stays, and what is said."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ml_assets.core.errors import NotReady
from ml_assets.registry.deployments import Deployment, Deployments
from ml_assets.registry.models import ModelRegistry
from ml_assets.registry.promotion import admit, ship
from ml_assets.registry.rollout import Promote, Shadow, Withdraw

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
    admission = admit(report(1, None, GOOD), [])
    assert admission.action == Promote(version=1)
    assert admission.reason == "the first model, its gate passed: roc_auc 0.99 is at least 0.97"


def test_a_later_candidate_that_passes_challenges_from_the_shadow() -> None:
    admission = admit(report(2, 1, GOOD, BETTER), deployed(1))
    assert admission.action == Shadow(version=2)
    assert admission.reason == (
        "version 2 challenges version 1, all 2 gates passed: log_loss 0.2 is 0.1 better"
    )


def test_a_candidate_that_fails_any_gate_stays_out() -> None:
    admission = admit(report(2, 1, GOOD, BAD), deployed(1))
    assert admission.action is None and not admission.waits
    assert admission.reason == (
        "version 1 stays, version 2 failed log_loss_better: log_loss 0.2 is 0.1 worse"
    )


def test_a_first_candidate_that_fails_leaves_nothing_deployed() -> None:
    admission = admit(report(1, None, BAD), [])
    assert admission.action is None
    assert admission.reason.startswith("nothing is deployed, version 1 failed log_loss_better")


def test_one_that_has_a_role_is_left_alone() -> None:
    assert admit(report(2, 1, GOOD), deployed(1, 2)).reason == "version 2 is champion already"


def test_a_version_that_had_its_trial_has_no_second_one() -> None:
    admission = admit(report(2, 1, GOOD), deployed(1, 2, 1))
    assert admission.action is None
    assert admission.reason.startswith("version 2 had its trial (2024-01-08 00:00, it was better)")


def test_a_candidate_waits_while_another_is_tried() -> None:
    trial = [*deployed(1), Deployment(id=2, system="toy", version=1, shadows=(2,), reason="it may",
                                      by="tests", at=AT, previous=None, action="shadow", about=2)]
    admission = admit(report(3, 1, GOOD), trial)
    assert admission.action is None and admission.waits
    assert admission.reason.startswith("version 3 waits until version 2 has its verdict")


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
    assert shipped() == (1, "version 1 is champion already", 1)
    assert registry.aliased("shipped", "champion") == 1

    registry.register("shipped", folder, params={}, metrics={}, tags={})
    registry.log_evaluation("shipped", 2, report(2, 1, BAD))
    version, reason, count = shipped()
    assert (version, count) == (1, 1)
    assert reason.startswith("version 1 stays, version 2 failed")
    assert registry.aliased("shipped", "champion") == 1
    registry.log_evaluation("shipped", 2, report(2, 1, GOOD))
    assert shipped()[0] == 1
    current = deployments.current("shipped")
    assert current is not None and current.shadows == (2,)
    assert registry.aliased("shipped", "challenger") == 2

    deployments.act("shipped", Withdraw(version=2), reason="complaints", by="tests", at=AT)
    version, reason, count = shipped()
    assert (version, count) == (1, 3)
    assert "(2024-01-08 00:00, complaints): train a new candidate" in reason
    assert registry.aliased("shipped", "champion") == 1
