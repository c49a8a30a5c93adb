"""Repositories and manifests that take seconds to make and are shared."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from dagster_feast import FeastManifest, FeastWarning, load_manifest
from dagster_feast.describe import check_when_called
from dagster_feast_tests.kit import EVERY_KIND, write_repo

check_when_called()


@pytest.fixture(autouse=True)
def nothing_in_the_user_s_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache / "user"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("manifests")


@pytest.fixture(scope="session")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with every kind of object that Feast knows."""
    return write_repo(tmp_path_factory.mktemp("every_kind"), EVERY_KIND)


@pytest.fixture(scope="session")
def manifest(repo: Path, cache: Path) -> FeastManifest:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FeastWarning)
        return load_manifest(repo, cache=cache)
