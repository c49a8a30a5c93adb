"""A Redis server of our own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from ml_assets.core.errors import NotReady
from ml_assets.core.profiles.own_redis import OwnRedis


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """One for all tests of a process, gone with them."""
    # Not pytest's folders, whose names may be too long for a socket.
    with tempfile.TemporaryDirectory(prefix="redis", dir="/tmp") as folder:
        try:
            server = OwnRedis(Path(folder))
            message = None if find_spec("redis") else (
                "the client of Redis is missing: pip install -e '.[redis]'")
        except NotReady as error:
            message = str(error)
        if message is not None:
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        server.start()
        yield server.url
        server.stop()
