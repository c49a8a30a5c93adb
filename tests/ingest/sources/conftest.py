"""A PostgreSQL server of our own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

OF_DEBIAN = Path("/usr/lib/postgresql")
"""Where it lies if it is not on the PATH."""
OWNERS = ("postgres", "nobody")
"""Who may run it if the tests run as root, which PostgreSQL refuses to."""


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server that nobody else uses, gone with the tests."""
    binaries = _binaries()
    if binaries is None or find_spec("psycopg") is None:
        message = (
            f"there is no initdb, neither on the PATH nor in {OF_DEBIAN}: install PostgreSQL to "
            "test queries of it" if binaries is None
            else "the client of PostgreSQL is missing: pip install -e '.[postgres]'"
        )
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    # Not pytest's folders, whose names may be too long for a socket, and are root's alone.
    with (tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder,
          _serving(binaries, Path(folder))):
        yield f"postgresql://shop@/postgres?host={folder}"


def _binaries() -> Path | None:
    """The folder of `initdb` and `postgres`, of the newest version."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    return max((path.parent for path in OF_DEBIAN.glob("*/bin/initdb")),
               key=lambda path: float(path.parent.name), default=None)


@contextmanager
def _serving(binaries: Path, folder: Path) -> Iterator[None]:
    owner = _owner()
    if owner is not None:
        shutil.chown(folder, owner)
    data = folder / "data"
    subprocess.run(
        [binaries / "initdb", "-D", data, "--auth=trust", "--username=shop", "--no-sync",
         "--encoding=UTF8", "--locale=C"],
        check=True, stdout=subprocess.DEVNULL, user=owner, cwd=folder,
    )
    server = subprocess.Popen(
        [binaries / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=",
         "-c", "fsync=off"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=owner, cwd=folder,
    )
    try:
        deadline = time.monotonic() + 30
        while not _ready(binaries, folder):
            assert server.poll() is None, "postgres did not start"
            assert time.monotonic() < deadline, "postgres accepts no connections"
            time.sleep(0.05)
        yield
    finally:
        server.terminate()
        server.wait(30)


def _ready(binaries: Path, folder: Path) -> bool:
    asked = subprocess.run([binaries / "pg_isready", "-q", "-h", folder], check=False)
    return asked.returncode == 0


def _owner() -> str | None:
    """Whom to run it as; None for whoever runs the tests."""
    if os.geteuid() != 0:
        return None
    import pwd

    known = {each.pw_name for each in pwd.getpwall()}
    return next(name for name in OWNERS if name in known)
