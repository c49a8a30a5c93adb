"""Each kind of store, and an installation whose store has counted something."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ml_assets.core.settings import Settings
from ml_assets.features.online_store.backend import Backend
from ml_assets.features.online_store.lmdb.backend import LmdbBackend
from tests.features.online_store.kit import OpenBackend

if TYPE_CHECKING:
    from tests.features.online_store.shop import Shop

_projects = count()


@pytest.fixture(params=["lmdb", "redis"])
def open_backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenBackend]:
    """Opens the store again and again: as another process would, or for another project."""
    if request.param == "redis":
        url: str = request.getfixturevalue("redis_url")
    opened: list[Backend] = []
    own = f"project {next(_projects)}"

    def open_it(project: str = own) -> Backend:
        if request.param == "lmdb":
            opened.append(LmdbBackend(tmp_path / "online.lmdb", project))
        else:
            from ml_assets.features.online_store.redis.backend import RedisBackend

            opened.append(RedisBackend(url, project, prefix="tests*"))
        return opened[-1]

    yield open_it
    for backend in opened:
        backend.close()


@pytest.fixture
def installed(settings: Settings) -> Settings:
    """Six loaded days of mail, and since then some that only the log knows."""
    from tests.features.loaded_mail import load_mail  # Feast, see below

    load_mail(settings)
    return settings


@pytest.fixture
def backend(open_backend: OpenBackend) -> Backend:
    return open_backend()


@pytest.fixture(params=["lmdb", "redis"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    """A feature repository of its own on each kind of store."""
    # Feast, which tests of the bare stores do without.
    from tests.features.online_store.shop import Shop

    if request.param == "lmdb":
        online = {
            "type": "ml_assets.features.feast_stores.online.PackedLmdbOnlineStore",
            "path": "var/online.lmdb",
        }
    else:
        online = {
            "type": "ml_assets.features.feast_stores.redis_online.PackedRedisOnlineStore",
            "url": request.getfixturevalue("redis_url"), "prefix": str(tmp_path),
        }
    return Shop(tmp_path, online)
