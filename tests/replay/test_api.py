"""The replay starts an API that was killed again, and sends again what had no answer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from ml_assets.core.errors import NotReady
from ml_assets.core.runtime import keeper
from ml_assets.replay.api import Client, Server
from ml_assets.replay.together.apis import _free_port

AT = datetime(2024, 1, 8, tzinfo=UTC)

MORTAL = """
import os, signal, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

deaths, where = Path(sys.argv[2]), sys.argv[3]
def die():
    if deaths.read_text():
        deaths.write_text(deaths.read_text()[1:])
        os.kill(os.getpid(), signal.SIGKILL)

class Handler(BaseHTTPRequestHandler):
    def answer(self):
        said = b'{"prediction_id": "p"}'
        self.send_response(200)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
    def do_GET(self):
        self.answer()
    def busy(self):
        self.send_response(503)
        self.send_header("retry-after", "1")
        self.send_header("content-length", "0")
        self.end_headers()
    def do_POST(self):
        if where == "request":
            die()
        if where == "connection" and deaths.read_text():
            deaths.write_text(deaths.read_text()[1:])
            self.close_connection = True
            return
        if where == "busy" and deaths.read_text():
            deaths.write_text(deaths.read_text()[1:])
            return self.busy()
        self.answer()

if where == "start":
    die()
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@contextmanager
def dying(tmp_path: Path, *, times: int, at: str) -> Iterator[Client]:
    """An API that is killed so many times, at each start or by each request.

    At "connection" it lives, but closes the connection without an answer so many times; at "busy"
    it says so.
    """
    deaths, port = tmp_path / "deaths", _free_port()
    deaths.write_text("x" * times)
    server = Server(command=(sys.executable, "-c", MORTAL, str(port), str(deaths), at),
                    var=tmp_path, log=tmp_path / "api.log")
    server.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as http:
            yield Client(http=http, system="toy", server=server)
    finally:
        keeper.stop(server.process)


@pytest.mark.parametrize("at", ["start", "request", "connection", "busy"])
@pytest.mark.parametrize("times", [1, 3])
def test_what_had_no_answer_is_sent_again(
    tmp_path: Path, times: int, at: str
) -> None:
    """All calls are safe to repeat, so the replay goes on. It may also be killed as it starts."""
    with dying(tmp_path, times=times, at=at) as client:
        client.await_ready()
        assert client.predict("e1", AT, {})["prediction_id"] == "p"


@pytest.mark.parametrize("at", ["start", "request", "connection"])
def test_an_api_that_dies_again_and_again_stops_the_replay(tmp_path: Path, at: str) -> None:
    """A request that kills each API it meets must not be sent for ever."""
    with dying(tmp_path, times=9, at=at) as client, pytest.raises(NotReady, match="API"):
        client.await_ready()
        client.predict("e1", AT, {})
