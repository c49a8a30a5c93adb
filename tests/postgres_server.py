"""A PostgreSQL server of our own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

OF_DEBIAN = Path("/usr/lib/postgresql")
"""Where it lies if it is not on the PATH."""
OWNERS = ("postgres", "nobody")
"""Who may run it if the tests run as root, which PostgreSQL refuses to."""


class PostgresServer:
    """A server that nobody else uses, on a socket in `folder`."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries, self._folder, self._owner = binaries, folder, _owner()
        self.url = f"postgresql://shop@/postgres?host={folder}"
        if self._owner is not None:
            shutil.chown(folder, self._owner)
        subprocess.run(
            [binaries / "initdb", "-D", folder / "data", "--auth=trust", "--username=shop",
             "--no-sync", "--encoding=UTF8", "--locale=C"],
            check=True, stdout=subprocess.DEVNULL, user=self._owner, cwd=folder,
        )
        self._start()

    def _start(self) -> None:
        self._server = subprocess.Popen(
            [self._binaries / "postgres", "-D", self._folder / "data", "-k", self._folder,
             "-c", "listen_addresses=", "-c", "fsync=off"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=self._owner,
            cwd=self._folder,
        )
        deadline = time.monotonic() + 60
        while not self._is_ready():
            assert self._server.poll() is None, "postgres did not start"
            assert time.monotonic() < deadline, "postgres accepts no connections"
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        asked = subprocess.run(
            [self._binaries / "pg_isready", "-q", "-h", self._folder], check=False)
        return asked.returncode == 0

    def crash(self) -> None:
        """End at once, without telling clients or writing anything more."""
        self._end(signal.SIGQUIT)

    def restart(self) -> None:
        self._start()

    def stop(self) -> None:
        """Without waiting for clients to leave."""
        self._end(signal.SIGINT)

    def _end(self, how: signal.Signals) -> None:
        self._server.send_signal(how)
        self._server.wait(60)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One for all tests of a process, gone with them."""
    binaries = _binaries()
    if binaries is None or find_spec("psycopg") is None:
        message = (
            f"there is no initdb, neither on the PATH nor in {OF_DEBIAN}: install PostgreSQL to "
            "test what is kept in it" if binaries is None
            else "the client of PostgreSQL is missing: pip install -e '.[postgres]'"
        )
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    # Not pytest's folders, whose names may be too long for a socket, and are root's alone.
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:
        server = PostgresServer(binaries, Path(folder))
        yield server
        server.stop()


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> str:
    return postgres_server.url


def _binaries() -> Path | None:
    """The folder of `initdb` and `postgres`, of the newest version."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    return max((path.parent for path in OF_DEBIAN.glob("*/bin/initdb")),
               key=lambda path: float(path.parent.name), default=None)


def _owner() -> str | None:
    """Whom to run it as; None for whoever runs the tests."""
    if os.geteuid() != 0:
        return None
    import pwd

    known = {each.pw_name for each in pwd.getpwall()}
    return next(name for name in OWNERS if name in known)
