"""Servers as processes: started, awaited, measured from outside, stopped."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving_load import process_tree
from ml_assets.core.errors import MlAssetsError
from ml_assets.core.runtime import keeper
from ml_assets.core.settings import ROOT

START_S = 120.0
STOP_S = 20.0
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class ServerFailed(MlAssetsError, RuntimeError):
    """A server did not start, or answers something else. The message shows its output."""


@dataclass(kw_only=True)
class Server:
    """A running server; `log` is its output."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """kill -9, as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def terminate(self) -> None:
        """Send SIGTERM; it may finish what it has begun. `process.wait` waits for its end."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Stop the whole tree, after 20 seconds at the latest."""
        process_tree.end(self.process.pid, patience_s=STOP_S)
        self.process.wait()

    def post(self, path: str, body: str) -> tuple[int, str]:
        """Status and body of an answer. Raises OSError if there is none."""
        return post(self.port, path, body)


def start(
    name: str,
    command: Sequence[str],
    *,
    port: int,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    pass_fds: Sequence[int] = (),
) -> Server:
    """Start `command`, which already contains its port."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as said:
        process = subprocess.Popen(
            command, stdout=said, stderr=said, stdin=subprocess.DEVNULL, cwd=cwd,
            env={**os.environ, **ONE_THREAD, **(env or {})}, start_new_session=True,
            pass_fds=tuple(pass_fds), preexec_fn=keeper.ending_with_us(),
        )
    return Server(name=name, port=port, process=process, log=log)


def await_ready(server: Server, ready: Callable[[], bool], *, within_s: float = START_S) -> None:
    """Return once `ready()`, which may raise OSError. Raises ServerFailed, with its last words."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            if ready():
                return
        except (OSError, http.client.HTTPException):
            pass
        ended = server.process.poll()
        if ended is not None or time.monotonic() > deadline:
            why = f"ended with status {ended}" if ended is not None else (
                f"was not ready after {within_s:g} s"
            )
            raise ServerFailed(f"{server.name} {why}: {_tail(server.log)}")
        time.sleep(0.05)


@contextmanager
def running(server: Server, ready: Callable[[], bool]) -> Iterator[Server]:
    """The server, once it is ready; stopped at the end."""
    try:
        await_ready(server, ready)
        yield server
    finally:
        server.stop()


def start_ours(
    var: Path, *, port: int = 0, listener: socket.socket | None = None, name: str = "ours"
) -> Server:
    """Our server on `port`, or on a listening socket that it shares with others."""
    where = str(port) if listener is None else f"fd:{listener.fileno()}"
    return start(
        name, [sys.executable, "-m", "benchmarks.serving_load.server", str(var), where],
        port=port if listener is None else listener.getsockname()[1],
        log=var / "logs" / f"{name}.log",
        pass_fds=() if listener is None else (listener.fileno(),),
    )


def start_noop(log: Path) -> Server:
    """The control: uvicorn and a constant answer."""
    port = free_port()
    return start("no-op", [sys.executable, "-m", "benchmarks.serving_load.noop", str(port)],
                 port=port, log=log)


def is_ready(port: int) -> bool:
    """Whether our API reports that it gives full answers. Raises OSError."""
    return get(port, "/readyz")[0] == 200


def is_up(port: int, path: str, body: str) -> bool:
    """Whether a post is answered with 200. Raises OSError."""
    return post(port, path, body)[0] == 200


def get(port: int, path: str) -> tuple[int, str]:
    return _call(port, "GET", path, None)


def post(port: int, path: str, body: str) -> tuple[int, str]:
    return _call(port, "POST", path, body)


def _call(port: int, method: str, path: str, body: str | None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def listen() -> socket.socket:
    """A listening socket for successive servers; its queue outlives each of them."""
    return socket.create_server(("127.0.0.1", 0), backlog=2048)


def _tail(log: Path) -> str:
    said = log.read_text(errors="replace").strip().splitlines()
    return " | ".join(line.strip() for line in said[-6:]) or "it said nothing"
