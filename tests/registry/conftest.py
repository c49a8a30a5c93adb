"""One MLflow for all tests of the registry: making its tables takes two seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_assets.core.profiles.settings_file import PROFILES
from ml_assets.core.settings import Settings
from ml_assets.registry.models import ModelRegistry
from tests.places import cluster_at


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> ModelRegistry:
    """Shared: each test registers under a system name of its own."""
    return ModelRegistry(Settings(var=tmp_path_factory.mktemp("registry") / "var"))


@pytest.fixture(scope="session", params=PROFILES)
def registry_of_each(
    request: pytest.FixtureRequest, registry: ModelRegistry,
    tmp_path_factory: pytest.TempPathFactory,
) -> ModelRegistry:
    """In either profile, on PostgreSQL and objects, or on files."""
    if request.param == "local":
        return registry
    server = request.getfixturevalue("objects_server")
    return ModelRegistry(Settings(
        var=tmp_path_factory.mktemp("host") / "var",
        cluster=cluster_at(request.getfixturevalue("postgres_url"),
                           objects=f"{server.url}/registry")))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model that multiplies; for the registry any folder is one."""
    made = tmp_path / "model"
    made.mkdir()
    (made / "factor.json").write_text("3.0")
    return made
