"""Fixtures that all tests share."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from httpx._config import create_ssl_context
from httpx._transports import default as transports
from hypothesis import settings as budget

from dagster_feast.describe import check_when_called
from ml_assets.core.profiles.settings_file import PROFILES
from ml_assets.core.settings import Settings
from ml_assets.core.storage.files import make_private
from ml_assets.core.storage.places import Place
from ml_assets.registry.tracking import runs
from tests.objects_server import objects_server as objects_server
from tests.objects_server import objects_url as objects_url
from tests.places import KINDS, cluster_at, environment, file_of, fresh
from tests.postgres_server import postgres_server as postgres_server
from tests.postgres_server import postgres_url as postgres_url
from tests.redis_server import redis_url as redis_url

# How long an example takes says more about what else the machine does than about the law.
budget.register_profile("law", deadline=None)
budget.load_profile("law")

# Half of what importing Feast costs, in each process that runs tests.
check_when_called()

# Each client reads the certificates of all authorities, which costs more than all that it asks.
vars(transports)["create_ssl_context"] = cache(create_ssl_context)

# A shell in the background and nohup have these ignored, and every server that a test starts and
# stops by them would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that have a slow test go first, so that no process ends with one of them alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation of its own, empty."""
    return Settings(var=tmp_path / "var")


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Of an event log, in both profiles."""
    if request.param == "sqlite":
        return tmp_path / "var" / "log.sqlite"
    return fresh(request.getfixturevalue("postgres_url"), "predictions")


@pytest.fixture(params=PROFILES)
def settings_of_each(
    request: pytest.FixtureRequest, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """An installation of its own in either profile, which processes that are started find too."""
    if request.param == "cluster":
        settings = replace(settings, cluster=cluster_at(
            request.getfixturevalue("postgres_url"),
            objects=request.getfixturevalue("objects_url")))
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    return settings


@pytest.fixture(scope="session", autouse=True)
def tables_of_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Making them takes MLflow two CPU seconds: each installation gets a copy of the first ones."""
    made = tmp_path_factory.mktemp("mlflow") / "tables.sqlite"

    def with_tables(path: Path) -> None:
        make_private(path)
        if not made.exists():
            patch.setattr(runs, "make_private", make_private)
            runs.connect(Settings(var=made.parent / "var")).search_registered_models()
            patch.setattr(runs, "make_private", with_tables)
            _copy(file_of(Settings(var=made.parent / "var").mlflow_database), made)
        _copy(made, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "make_private", with_tables)
        yield


def _copy(database: Path, path: Path) -> None:
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)
