"""A private Redis server for the duration of the measurement."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from ml_assets.core.errors import NotReady
from ml_assets.core.runtime import keeper

PATIENCE_S = 10


def why_not() -> str:
    """What is missing to run one; empty if nothing is."""
    if shutil.which("redis-server") is None:
        return "there is no redis-server on the path"
    if find_spec("redis") is None:
        return "Redis' client is not installed: pip install 'ml-assets[redis]'"
    return ""


@contextmanager
def running_redis(folder: Path) -> Iterator[int]:
    """The port of a server on loopback that keeps everything in memory.

    Raises NotReady if it does not answer in time.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    server = subprocess.Popen(
        ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder),
         "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL, preexec_fn=keeper.ending_with_us(),
    )
    try:
        _wait(port)
        yield port
    finally:
        server.terminate()
        server.wait()


def _wait(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(16).startswith(b"+PONG"):
                    return
        except ConnectionError:
            pass
        if time.monotonic() > deadline:
            raise NotReady(f"redis-server gave no answer on port {port} in {PATIENCE_S} s")
        time.sleep(0.02)
