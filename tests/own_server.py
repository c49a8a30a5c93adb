"""Servers of our own, for tests that need a real one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TypeVar

import pytest

from ml_assets.core.errors import NotReady
from ml_assets.core.profiles.own_servers import OwnServer

S = TypeVar("S", bound=OwnServer)


@contextmanager
def own_server(make: Callable[[], S], *, client: str, extra: str) -> Iterator[S]:
    """One that is up. Skips if it or its client is not installed; fails where nothing may skip.

    client: the module that talks to it, of the extra that installs it
    """
    try:
        server = make()
        lacking = None if find_spec(client) else (
            f"the client {client} is missing: pip install -e '.[{extra}]'")
    except NotReady as error:
        lacking = str(error)
    if lacking is not None:
        if os.environ.get("CI"):
            pytest.fail(lacking)
        pytest.skip(lacking)
    server.start()
    yield server
    server.stop()


@contextmanager
def stopped(server: OwnServer) -> Iterator[None]:
    """In the block nobody listens."""
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextmanager
def hanging(server: OwnServer) -> Iterator[None]:
    """In the block it takes connections and answers nothing: of PostgreSQL new ones, for each
    has a process of its own."""
    pid = server.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
