"""Someone else's pages behind the API's rules: a small app that trusts everyone, over sockets."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from ml_assets.consoles import changes_by_post
from ml_assets.serving.access.hosts import Hosts
from ml_assets.serving.http.connection.connections import Connections
from ml_assets.serving.http.connection.draining import DrainingProtocol
from ml_assets.serving.http.console import LIMITS, Guarded
from tests.serving.access.test_hosts import ATTACKS
from tests.serving.http.test_fast_path import Client
from tests.serving.http.test_limits import refused, refused_after
from tests.serving.kit import wait_until

ran: list[str] = []


async def graphql(request: Request) -> Response:
    """As Dagster's: it runs what the address or the body names, whatever the method."""
    body = await request.body()
    ran.append(request.query_params.get("query") or body.decode())
    return PlainTextResponse("done", headers={"X-Frame-Options": "DENY"})


async def upload(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def subscribe(socket: WebSocket) -> None:
    await socket.accept()
    ran.append(await socket.receive_text())
    await socket.send_text("news")
    await socket.close()


@contextmanager
def pages(*names: str) -> Iterator[httpx.Client]:
    """A client of the app behind the rules."""
    app = Starlette(routes=[
        Route("/graphql", graphql, methods=["GET", "POST", "PUT"]),
        WebSocketRoute("/graphql", subscribe),
        Route("/upload", upload, methods=["PUT"]),
    ])
    config = uvicorn.Config(
        Guarded(app, Hosts(names), changes_by_post), port=0, log_config=None, lifespan="off",
        http=partial(DrainingProtocol, Connections(LIMITS)), timeout_graceful_shutdown=2,  # type: ignore[arg-type]
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        ran.clear()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def console() -> Iterator[httpx.Client]:
    with pages() as client:
        yield client


def own(console: httpx.Client) -> str:
    return str(console.base_url).rstrip("/")


@pytest.mark.parametrize(("headers", "status"), ATTACKS.values(), ids=ATTACKS)
def test_another_sites_page_changes_nothing_and_reads_nothing(
    console: httpx.Client, headers: dict[str, str], status: int
) -> None:
    ran.clear()
    query = {"query": "mutation { wipe }"}
    for answer in (
        console.get("/graphql", params=query, headers=headers),
        console.post("/graphql", params=query, headers=headers),
        console.post("/graphql", json=query, headers=headers),
    ):
        assert answer.status_code == status
    assert ran == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS"])
@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "/graph%71l"])
def test_no_address_changes_anything_by_itself(
    console: httpx.Client, method: str, path: str
) -> None:
    ran.clear()
    answer = console.request(method, path, params={"query": "mutation { wipe }"})
    assert answer.status_code in (404, 405)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
                 "text/plain; application/json", "application/graphql", ""):
        answer = console.post(path, params={"query": "mutation { wipe }"},
                              headers={"content-type": kind})
        assert answer.status_code in (404, 415)
    assert ran == []


def test_its_own_pages_and_programs_work(console: httpx.Client) -> None:
    ran.clear()
    page = {"origin": own(console), "sec-fetch-site": "same-origin"}
    for headers in ({}, page, {"content-type": "application/json; charset=utf-8"}):
        assert console.post("/graphql", json="q", headers=headers).text == "done"
    shown = console.get("/graphql", headers={"accept": "text/html,*/*"})
    assert (shown.text, shown.headers["x-frame-options"]) == ("done", "DENY")
    assert console.get("/nowhere").headers["x-frame-options"] == "SAMEORIGIN"
    assert len(ran) == 4


def test_a_name_that_the_operator_gives_is_a_name_of_its_pages_too() -> None:
    with pages("ml.example") as console:
        headers = {"host": "ml.example", "origin": "https://ml.example"}
        assert console.post("/graphql", json="q", headers=headers).text == "done"


def test_a_websocket_is_opened_by_its_own_pages_and_programs_alone(
    console: httpx.Client,
) -> None:
    url = own(console).replace("http", "ws") + "/graphql"
    for origin in (own(console), None):
        with connect(url, origin=Origin(origin) if origin else None) as socket:
            socket.send("subscription")
            assert socket.recv() == "news"
    ran.clear()
    for origin in ("https://evil.example", "null", "http://localhost:1"):
        with pytest.raises(InvalidStatus, match="403"), connect(url, origin=Origin(origin)):
            pass
    with pytest.raises(InvalidStatus, match="403"), \
            connect(url, additional_headers={"Sec-Fetch-Site": "cross-site"}):
        pass
    assert ran == []


def test_the_limits_hold_and_large_files_pass(console: httpx.Client) -> None:
    large = 100 * 2**20
    assert console.put("/upload", content=bytes(large), timeout=60).text == str(large)
    client = Client((console.base_url.host, console.base_url.port or 0))
    try:
        refused(refused_after(client, b"GET /" + b"a" * 400_000), 414)
    finally:
        client.close()
    assert json.loads(console.get("/graphql", headers={"host": "x"}).text)["error"]["code"]
