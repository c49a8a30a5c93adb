"""A Redis server of our own, and each kind of store."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ml_assets.features.online_store.backend import Backend
from ml_assets.features.online_store.lmdb.backend import LmdbBackend
from tests.features.online_store.kit import OpenBackend

if TYPE_CHECKING:
    from tests.features.online_store.shop import Shop

_projects = count()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A server that nobody else uses, gone with the tests."""
    binary = shutil.which("redis-server")
    if binary is None or find_spec("redis") is None:
        message = (
            "there is no redis-server on the PATH: install Redis to test the store in it"
            if binary is None else "the client of Redis is missing: pip install -e '.[redis]'"
        )
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    # Not pytest's folders, whose names may be too long for a socket.
    with tempfile.TemporaryDirectory(prefix="redis") as folder, _serving(binary, Path(folder)):
        yield f"unix://{folder}/socket"


@contextmanager
def _serving(binary: str, folder: Path) -> Iterator[None]:
    server = subprocess.Popen(
        [binary, "--port", "0", "--unixsocket", str(folder / "socket"), "--save", "",
         "--appendonly", "no", "--dir", str(folder)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 10
        while not (folder / "socket").exists():
            assert server.poll() is None, "redis-server did not start"
            assert time.monotonic() < deadline, "redis-server makes no socket"
            time.sleep(0.01)
        yield
    finally:
        server.terminate()
        server.wait(10)


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
