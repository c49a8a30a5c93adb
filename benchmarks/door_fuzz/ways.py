"""The two paths in: the same connections over real sockets, with and without the fast path."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import uvicorn

from benchmarks.door_fuzz.drawing import NAME, PREDICT, request
from benchmarks.door_fuzz.system import RETURNS, backends
from ml_assets.core.settings import Settings
from ml_assets.core.time import EventClock
from ml_assets.registry.deployments import Deployments
from ml_assets.serving.composition import create_app
from ml_assets.serving.http.connection.fast_path import FastPathProtocol
from ml_assets.serving.http.connection.uvicorn_seam import config_for

NOON = datetime(2024, 1, 9, 12, tzinfo=UTC)
LAST = request("/healthz", b"", b"Connection: close", method=b"GET", length=b"")
"""Sent after each case: whatever the case was, the server then closes the connection, or waits for
more of what it takes for a body."""
KNOWN = 64
PROMPT_S, PATIENT_S = 0.05, 10.0

_VOLATILE = re.compile(rb"\r\ndate: [^\r]*|(?<=\r\nx-request-id: )[0-9a-f]{16}")
_ASSIGNED = re.compile(rb"2024-01-09T12:0\d:\d\d\.\d{6}(?:Z|\+00:00)")
"""Assigned by the log, per batch: which requests share one depends on timing."""
_RANDOM_ID = re.compile(
    rb'"prediction_id":"[0-9a-f]{24}","event_id":"[0-9a-f]{32}"', re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Everything received on a connection, without what differs between answers.

    waits: the connection was still open when the reading ended
    """

    received: bytes
    waits: bool

    @property
    def alike(self) -> bytes:
        same = _RANDOM_ID.sub(b"a random id", _VOLATILE.sub(b"", self.received))
        return _ASSIGNED.sub(b"an instant of the log", same)

    @property
    def statuses(self) -> list[int]:
        return [int(each) for each in re.findall(rb"HTTP/1\.1 (\d{3}) ", self.received)]


@dataclass(kw_only=True)
class Connection:
    """One client's connection."""

    port: int
    socket: socket.socket
    received: bytearray = field(default_factory=bytearray)

    def close(self) -> None:
        self.socket.close()

    def reopen(self) -> None:
        """Start over, at the same address."""
        self.socket.close()
        self.socket = _connected(self.port)

    def send(self, sent: bytes) -> None:
        with suppress(OSError):  # refused before all was there; the answer is still to be read
            self.socket.sendall(sent)

    def read(self, patience_s: float) -> Answer:
        """What is received until the server closes the connection, or is silent for that long."""
        self.socket.settimeout(patience_s)
        try:
            while part := self.socket.recv(1 << 16):
                self.received += part
        except TimeoutError:
            return Answer(received=bytes(self.received), waits=True)
        except OSError:
            pass
        return Answer(received=bytes(self.received), waits=False)

    def answer(self) -> Answer:
        """The next answer on a kept-alive connection, which gives its length."""
        self.socket.settimeout(PATIENT_S)
        while True:
            head, end, rest = bytes(self.received).partition(b"\r\n\r\n")
            size = re.search(rb"\r\ncontent-length: (\d+)", head)
            if end and size and len(rest) >= int(size[1]):
                break
            if not (part := self.socket.recv(1 << 16)):
                break
            self.received += part
        answer = Answer(received=bytes(self.received), waits=False)
        self.received.clear()
        return answer


@dataclass(frozen=True, kw_only=True)
class Way:
    """A server on its own installation."""

    settings: Settings
    port: int

    @property
    def batched(self) -> float:
        """How many events were logged in one transaction, on average."""
        with closing(self.connect()) as connection:
            connection.send(request("/metrics", b"", b"Connection: close", method=b"GET",
                                    length=b""))
            said = connection.read(PATIENT_S).received
        found = [re.search(rb'\nml_assets_batch_size_%b{system="returns"} (\S+)' % name, said)
                 for name in (b"sum", b"count")]
        total, batches = (float(each[1]) if each else 0.0 for each in found)
        return total / batches if batches else 0.0

    def connect(self) -> Connection:
        return Connection(port=self.port, socket=_connected(self.port))


def _connected(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=PATIENT_S)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


@contextmanager
def way(folder: Path, *, direct: bool) -> Iterator[Way]:
    """A server that runs until the block ends. direct: whether connections answer themselves"""
    settings = Settings(var=folder)
    EventClock(settings.clock_file(NAME)).set(NOON)
    Deployments(settings.deployments).promote(NAME, 1, reason="to be asked", by="fuzz", at=NOON)
    app = create_app(settings, [RETURNS], backends(settings.deployments))
    serves = app.fast_path if direct else replace(app.fast_path, queues={})
    config = config_for(app, partial(FastPathProtocol, serves), host="127.0.0.1", port=0,
                        log_config=None, timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="direct" if direct else "app")
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the server ended before it was ready; see its log")
            time.sleep(0.01)
        yield Way(settings=settings, port=server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()


def known_predictions(ways: Sequence[Way]) -> list[str]:
    """Ids of predictions that each of them has made."""
    found: list[str] = []
    for each in ways:
        with closing(each.connect()) as connection:
            found = [_known(connection, n) for n in range(KNOWN)]
    return found


def _known(connection: Connection, number: int) -> str:
    body = {"event_id": f"known {number}", "event": {"shop": f"shop {number % 3}",
                                                     "amount": number}}
    connection.send(request(PREDICT, json.dumps(body).encode()))
    _, _, answered = connection.answer().received.partition(b"\r\n\r\n")
    return str(json.loads(answered)["prediction_id"])
