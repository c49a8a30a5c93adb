"""Real clients with their defaults: some offer to change to HTTP/2, and all are answered."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ml_assets.core.settings import Settings
from tests.serving.http.test_fast_path import PREDICT, connected, get, post
from tests.serving.kit import NOON, Toy, asked, serving

CLIENTS = Path(__file__).with_name("clients")
OFFERS = ("h2c", "h2c, websocket", "websocket", "TLS/1.0", "foo/2", "HTTP/3.0")


@pytest.fixture(scope="module", params=[True, False], ids=["direct", "asgi"])
def api(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    toy = Toy(settings=Settings(var=tmp_path_factory.mktemp("clients")))
    toy.deploy(1)
    with serving(toy, direct=request.param) as client:
        yield client


def program(name: str, *, needed: bool = True) -> str:
    """Its path. A machine without it skips; CI must have those that are needed."""
    found = shutil.which(name)
    if found is None:
        if needed and os.environ.get("CI") == "true":
            pytest.fail(f"no {name} on this machine; .ci/run installs it")
        pytest.skip(f"no {name} on this machine")
    return found


def answered(command: list[str]) -> list[tuple[int, str]]:
    """Status and event id of each answer that the program prints, a line each."""
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    return [(int(status), json.loads(body)["event_id"]) for status, body in (
        line.split(" ", 1) for line in ran.stdout.splitlines())]


def bodies(*ids: str) -> list[str]:
    return [json.dumps(asked(event_id, NOON)) for event_id in ids]


def test_curl_that_offers_http_2_is_answered(api: httpx.Client) -> None:
    url, (one, two) = f"{str(api.base_url).rstrip('/')}{PREDICT}", bodies("curl-1", "curl-2")
    form = ["-sS", "--http2", "-w", "\\n", "-d"]
    command = [program("curl"), *form, one, url, "--next", *form, two, url]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert [json.loads(line)["event_id"] for line in ran.stdout.splitlines()] == [
        "curl-1", "curl-2"]


def test_javas_own_client_is_answered(api: httpx.Client) -> None:
    ids = ["java-1", "java-2", "java-3"]
    found = answered([program("java"), str(CLIENTS / "Predict.java"),
                      f"{str(api.base_url).rstrip('/')}{PREDICT}", *bodies(*ids)])
    assert found == [(200, event_id) for event_id in ids]


def test_nodes_fetch_is_answered(api: httpx.Client) -> None:
    ids = ["node-1", "node-2"]
    found = answered([program("node"), str(CLIENTS / "predict.mjs"),
                      f"{str(api.base_url).rstrip('/')}{PREDICT}", *bodies(*ids)])
    assert found == [(200, event_id) for event_id in ids]


def test_gos_client_is_answered(api: httpx.Client) -> None:
    ids = ["go-1", "go-2"]
    found = answered([program("go", needed=False), "run", str(CLIENTS / "predict.go"),
                      f"{str(api.base_url).rstrip('/')}{PREDICT}", *bodies(*ids)])
    assert found == [(200, event_id) for event_id in ids]


def test_pythons_clients_are_answered(api: httpx.Client) -> None:
    one, two, three = bodies("httpx", "urllib", "http.client")
    assert api.post(PREDICT, content=one).json()["event_id"] == "httpx"
    url = f"{str(api.base_url).rstrip('/')}{PREDICT}"
    with urllib.request.urlopen(url, two.encode(), 10) as answer:
        assert json.load(answer)["event_id"] == "urllib"
    connection = http.client.HTTPConnection(api.base_url.netloc.decode(), timeout=10)
    for _ in range(2):
        connection.request("POST", PREDICT, three)
        assert json.load(connection.getresponse())["event_id"] == "http.client"
    connection.close()


@pytest.mark.parametrize("offer", OFFERS)
def test_whatever_is_offered_the_request_is_answered_and_the_connection_goes_on(
    api: httpx.Client, offer: str
) -> None:
    headers = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {offer}", "HTTP2-Settings: AAMA")
    body = json.dumps(asked("offered", NOON)).encode()
    for cut in (1, 10_000):
        with connected(api) as client:
            sent = (post(body, *headers) + get("/healthz", *headers, "X-Request-Id: 2")
                    + post(body, *headers) + get("/healthz", "X-Request-Id: 4"))
            for place in range(0, len(sent), cut):
                client.socket.sendall(sent[place : place + cut])
            answers = client.answers(4)
            assert [answer.status for answer in answers] == [200] * 4
            assert [answers[n].headers["x-request-id"] for n in (1, 3)] == ["2", "4"]
            assert client.ask(post(body)).status == 200


def test_an_offer_with_a_body_in_chunks_or_one_that_waits_is_answered(api: httpx.Client) -> None:
    body = json.dumps(asked("offered", NOON)).encode()
    with connected(api) as client:
        chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        assert client.ask(post(chunks, "Transfer-Encoding: chunked", "Connection: upgrade",
                               "Upgrade: h2c")).status == 200
        head, end, rest = post(body, "Expect: 100-continue", "Connection: upgrade",
                               "Upgrade: h2c").partition(b"\r\n\r\n")
        assert client.ask(head + end).status == 100
        assert client.ask(rest).status == 200
        last = client.ask(post(body, "Connection: close, Upgrade", "Upgrade: h2c"))
        assert (last.status, last.headers["connection"], client.closed) == (200, "close", True)


def test_many_offers_at_once_cost_no_more_each_than_one(api: httpx.Client) -> None:
    offer = get("/healthz", "Connection: upgrade", "Upgrade: h2c")
    with connected(api) as client:
        client.socket.sendall(offer * 100)
        assert [answer.status for answer in client.answers(100)] == [200] * 100
