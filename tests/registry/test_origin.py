"""Where a version came from, on a real MLflow; and without one, which is said and no failure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ml_assets.core.errors import NotReady, UnknownName
from ml_assets.core.settings import Settings
from ml_assets.registry.deployments import Deployments
from ml_assets.registry.models import ModelRegistry
from ml_assets.registry.origin import decision_behind, origin_of, trained_on
from tests.places import file_of

NOON = datetime(2024, 1, 9, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TAGS = {
    "data_version": "abc123", "first_day": "2024-01-01", "last_day": "2024-01-08",
    "as_of": NOON.isoformat(), "feature_service": "toy_returns", "git_commit": "0123456789ab",
    "dagster_run_id": "run-1",
}


def register(registry: ModelRegistry, system: str, folder: Path, tags: dict[str, str]) -> str:
    made = registry.register(system, folder, params={}, metrics={}, tags=tags)
    return made.run_id


def test_the_origin_is_what_training_tagged(registry: ModelRegistry, folder: Path) -> None:
    run = register(registry, "traced", folder, TAGS)
    origin = origin_of(registry.settings, "traced", 1)
    assert (origin.training_set, origin.first_day, origin.last_day) == (
        "abc123", "2024-01-01", "2024-01-08")
    assert (origin.as_of, origin.mlflow_run, origin.dagster_run) == (NOON.isoformat(), run, "run-1")


def test_what_training_did_not_tag_is_not_known(registry: ModelRegistry, folder: Path) -> None:
    """A version that somebody registered by hand."""
    register(registry, "untagged", folder, {})
    origin = origin_of(registry.settings, "untagged", 1)
    assert (origin.training_set, origin.git_commit) == (None, None)


def test_versions_are_found_by_their_training_set(registry: ModelRegistry, folder: Path) -> None:
    for data_version in ("one", "two", "one"):
        register(registry, "grouped", folder, {"data_version": data_version})
    assert trained_on(registry.settings, "grouped") == {"one": [1, 3], "two": [2]}
    assert trained_on(registry.settings, "never_registered") == {}


def test_an_unknown_version_is_answered_with_the_known_ones(
    registry: ModelRegistry, folder: Path
) -> None:
    register(registry, "short", folder, TAGS)
    with pytest.raises(UnknownName, match="Known: 1"):
        origin_of(registry.settings, "short", 9)


def test_without_mlflow_it_says_so_and_makes_nothing(settings: Settings) -> None:
    with pytest.raises(NotReady, match=r"MLflow cannot be asked: it has no database .*mlflow"):
        origin_of(settings, "toy", 1)
    assert not settings.var.exists()


@pytest.mark.parametrize("content", [b"this is no database" * 100, b""])
def test_a_broken_mlflow_is_told_at_once(settings: Settings, content: bytes) -> None:
    """MLflow itself would try again for a minute."""
    path = file_of(settings.mlflow_database)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    for ask in (lambda: origin_of(settings, "toy", 1), lambda: trained_on(settings, "toy")):
        with pytest.raises(NotReady, match="MLflow cannot be asked"):
            ask()


def test_the_decision_behind_an_answer_is_the_last_one_for_its_version_before_it(
    settings: Settings,
) -> None:
    """A version may come back, and a server may answer with the old one for a moment longer."""
    record = Deployments(settings.deployments)
    for n, version in enumerate((1, 2, 1)):
        record.promote("toy", version, reason=f"reason {n}", by="test", at=NOON + n * HOUR)

    def reason(version: int, hours: float) -> str | None:
        found = decision_behind(settings, "toy", version, "champion", NOON + hours * HOUR)
        return None if found is None else found.reason

    assert reason(1, -1) is None
    assert reason(1, 0) == reason(1, 0.5) == reason(1, 1.0001) == "reason 0"
    assert reason(2, 1.5) == reason(2, 2.5) == "reason 1"
    assert reason(1, 2.5) == "reason 2"
    assert reason(3, 9) is None
