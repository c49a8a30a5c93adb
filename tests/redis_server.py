"""A Redis server of our own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_assets.core.profiles.own_redis import OwnRedis
from tests.own_server import own_server


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """One for all tests of a process, gone with them."""
    # Not pytest's folders, whose names may be too long for a socket.
    with tempfile.TemporaryDirectory(prefix="redis", dir="/tmp") as folder, own_server(
        lambda: OwnRedis(Path(folder)), client="redis", extra="redis",
    ) as server:
        yield server.url
