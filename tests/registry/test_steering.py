"""What a person changes is checked against MLflow, and MLflow's aliases follow."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ml_assets.core.errors import UnknownName
from ml_assets.core.settings import Settings
from ml_assets.registry.aliases import first_challenger, follow
from ml_assets.registry.deployments import Deployment, Deployments
from ml_assets.registry.models import ModelRegistry
from ml_assets.registry.promotion import ship
from ml_assets.registry.rollout import (
    Action,
    Canary,
    Challenger,
    Promote,
    Rollback,
    Rollout,
    Shadow,
)
from ml_assets.registry.steering import brought_in, steer

AT = datetime(2024, 1, 8, tzinfo=UTC)


@pytest.fixture
def deployments(tmp_path: Path) -> Deployments:
    return Deployments(tmp_path / "deployments.sqlite")


def act(
    system: str, action: Action, registry: ModelRegistry, deployments: Deployments
) -> Deployment:
    done = steer(system, action, registry, deployments, reason="try it", by="ann", at=AT)
    follow(system, registry, deployments)
    return done


def aliases(system: str, registry: ModelRegistry) -> tuple[int | None, int | None]:
    return registry.aliased(system, "champion"), registry.aliased(system, "challenger")


def test_the_aliases_name_what_is_in_force_after_every_change(
    registry: ModelRegistry, folder: Path, deployments: Deployments
) -> None:
    for _ in range(4):
        registry.register("steered", folder, params={}, metrics={}, tags={})
    follow("steered", registry, deployments)
    assert aliases("steered", registry) == (None, None)
    steps: list[tuple[Action, tuple[int, int | None]]] = [
        (Promote(version=1), (1, None)),
        (Shadow(version=2), (1, 2)),
        (Canary(version=3, share=0.05), (1, 3)),
        (Canary(version=2, share=0.1), (1, 2)),
        (Promote(version=2), (2, 3)),
        (Rollback(), (1, 2)),
        (Promote(version=4, alone=True), (4, None)),
    ]
    for action, expected in steps:
        act("steered", action, registry, deployments)
        assert aliases("steered", registry) == expected
    assert registry.aliased("steered", "candidate") == 4


def test_a_version_that_mlflow_lacks_is_named_with_those_it_has(
    registry: ModelRegistry, folder: Path, deployments: Deployments
) -> None:
    for _ in range(2):
        registry.register("mistyped", folder, params={}, metrics={}, tags={})
    for action in (Promote(version=7), Canary(version=7, share=0.1), Shadow(version=7)):
        with pytest.raises(UnknownName, match=r"no version of model 'mistyped' '7'\. Known: 1, 2"):
            act("mistyped", action, registry, deployments)
    assert deployments.history("mistyped") == []


def test_taking_out_and_rolling_back_need_no_mlflow(
    settings: Settings, deployments: Deployments
) -> None:
    """In an emergency the registry may be what is broken."""
    nowhere = ModelRegistry(settings)
    for change in (Promote(version=1), Canary(version=2, share=0.1), Shadow(version=3)):
        deployments.act("toy", change, reason="set up", by="tests", at=AT)
    emergency: tuple[Action, ...] = (
        Canary(version=2, share=0.0), Shadow(version=3, stop=True), Rollback(),
        Promote(version=3),
    )
    for action in emergency:
        steer("toy", action, nowhere, deployments, reason="it burns", by="ann", at=AT)
    assert not settings.var.exists()


@pytest.mark.parametrize(
    ("action", "version"),
    [
        (Promote(version=9), 9), (Canary(version=9, share=0.1), 9), (Shadow(version=9), 9),
        (Promote(version=2), None), (Canary(version=9, share=0), None),
        (Shadow(version=9, stop=True), None), (Rollback(), None),
    ],
)
def test_only_a_version_that_is_new_to_the_record_is_looked_up(
    action: Action, version: int | None
) -> None:
    assert brought_in(Rollout(version=1, shadows=(2,)), action) == version


def test_the_alias_names_the_largest_challenger_then_the_latest_shadow() -> None:
    def challenger(version: int, start: int, end: int) -> Challenger:
        return Challenger(version=version, slots=((start, end),))

    both = (challenger(2, 0, 200), challenger(3, 200, 300))
    assert first_challenger(Rollout(version=1, challengers=both, shadows=(9,))) == 2
    equal = (challenger(2, 0, 100), challenger(3, 100, 200))
    assert first_challenger(Rollout(version=1, challengers=equal)) == 3
    assert first_challenger(Rollout(version=1, shadows=(4, 2))) == 4
    assert first_challenger(Rollout(version=1)) is None


def test_a_candidate_waits_for_a_challenger_and_its_alias_for_the_candidate(
    registry: ModelRegistry, folder: Path, deployments: Deployments
) -> None:
    for _ in range(3):
        registry.register("both_ways", folder, params={}, metrics={}, tags={})
    act("both_ways", Promote(version=1), registry, deployments)
    act("both_ways", Canary(version=2, share=0.1), registry, deployments)
    registry.log_evaluation("both_ways", 3, {
        "system": "both_ways", "candidate": 3, "champion": 1, "gates": [],
    })
    shipped = ship("both_ways", registry, deployments, by="a run", at=AT)
    assert shipped.current is not None and shipped.waits
    assert (shipped.current.version, shipped.current.share(2)) == (1, 0.1)
    assert aliases("both_ways", registry) == (1, 2)
    act("both_ways", Promote(version=2, watched=True), registry, deployments)
    shipped = ship("both_ways", registry, deployments, by="a run", at=AT)
    assert shipped.current is not None and shipped.current.shadows == (1, 3)
    # The predecessor scores too, but it is no challenger.
    assert aliases("both_ways", registry) == (2, 3)
