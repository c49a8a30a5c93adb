"""A PostgreSQL server of our own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_assets.core.profiles.own_postgres import OwnPostgres
from tests.own_server import own_server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[OwnPostgres]:
    """One for all tests of a process, gone with them."""
    # Not pytest's folders, whose names may be too long for a socket, and are root's alone.
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder, own_server(
        lambda: OwnPostgres(Path(folder), ["fsync=off"]), client="psycopg", extra="postgres",
    ) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres_server: OwnPostgres) -> str:
    return postgres_server.url
