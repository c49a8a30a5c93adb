"""A PostgreSQL server of our own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from ml_assets.core.errors import NotReady
from ml_assets.core.profiles.own_postgres import OwnPostgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[OwnPostgres]:
    """One for all tests of a process, gone with them."""
    # Not pytest's folders, whose names may be too long for a socket, and are root's alone.
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:
        try:
            server = OwnPostgres(Path(folder), ["fsync=off"])
            message = None if find_spec("psycopg") else (
                "the client of PostgreSQL is missing: pip install -e '.[postgres]'")
        except NotReady as error:
            message = str(error)
        if message is not None:
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def postgres_url(postgres_server: OwnPostgres) -> str:
    return postgres_server.url
