"""Without the fast path and our connections: everything still works over plain ASGI."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Literal

import httpx
import pytest

from ml_assets.core.settings import ROOT, Settings
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.serving.access.tokens import Tokens
from ml_assets.serving.http.connection.fast_path import FastPathProtocol
from ml_assets.serving.http.connection.guarding import GuardedProtocol
from tests.serving.http.test_fast_path import ALIKE, connected
from tests.serving.kit import LATER, NOON, Toy, asked, problem, serving
from tests.serving.test_server import server

PREDICT = "/v1/toy/predict"
NEEDS_OUR_CONNECTION = {
    "chunked and with a length", "two lengths", "a length that is none",  # 400, in plain text
    "with the host",  # h11 takes it for a path
    "it would speak HTTP/2", "it would speak WebSocket",  # the offer is not ignored
}


@pytest.fixture
def toy(settings: Settings) -> Toy:
    toy = Toy(settings=settings)
    toy.deploy(1)
    return toy


@pytest.fixture(params=["h11", "httptools"])
def api(
    toy: Toy, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[httpx.Client]:
    """A client of a server that must not use any of our connections."""
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection of ours was made")

    for protocol in (GuardedProtocol, FastPathProtocol):
        monkeypatch.setattr(protocol, "__init__", refuse)
    with serving(toy, plain=request.param) as client:
        yield client


def test_a_prediction_is_logged_and_its_retry_gets_the_same_answer(
    toy: Toy, api: httpx.Client
) -> None:
    first = api.post(PREDICT, json=asked("e1", NOON), headers={"x-request-id": "r1"})
    assert (first.status_code, first.headers["x-request-id"]) == (200, "r1")
    assert first.headers["x-model-version"] == "1"
    toy.clock.set(LATER)
    assert api.post(PREDICT, json=asked("e1", NOON)).content == first.content
    problem(api.post(PREDICT, json=asked("e1", amount=99.0)), 409, "event_changed")
    assert EventLog(toy.settings.event_log).count("toy") == (1, 0)


def test_every_other_call_answers(toy: Toy, api: httpx.Client) -> None:
    given = api.post(PREDICT, json=asked("e1")).json()
    batch = api.post(f"{PREDICT}/batch", json={"events": [asked("e1"), 7]}).json()
    assert [each.get("event_id") for each in batch["predictions"]] == ["e1", None]
    said = {"prediction_id": given["prediction_id"], "label": True, "source": "buyer"}
    assert api.post("/v1/toy/feedback", json=said).json()["new"] is True
    record = api.get(f"/v1/toy/predictions/{given['prediction_id']}").json()
    assert [each["source"] for each in record["feedback"]] == ["buyer"]
    assert api.get("/v1/toy/version").json()["counts"]["predicted"] == 1
    assert api.get("/readyz").json()["ready"] is True
    assert api.get("/healthz").status_code == api.get("/docs").status_code == 200
    assert 'status="200",system="toy"} 1.0' in api.get("/metrics").text


def test_bad_requests_are_refused_with_their_reasons(api: httpx.Client) -> None:
    problem(api.post(PREDICT, content=b"{"), 422, "malformed_json")
    problem(api.post(PREDICT, json=asked(amount="ten")), 422, "unusable_event")
    problem(api.post(PREDICT, content=b"x" * (9 * 1024 * 1024)), 413, "body_too_large")
    problem(api.post(PREDICT, content=b"{}", headers={"content-encoding": "gzip"}), 415,
            "unsupported_encoding")
    problem(api.post("/v1/tyo/predict", json=asked()), 404, "not_found")
    problem(api.get(PREDICT), 405, "method_not_allowed")


def test_hosts_pages_and_tokens_are_checked_as_ever(toy: Toy, api: httpx.Client) -> None:
    problem(api.post(PREDICT, json=asked(), headers={"host": "evil.example"}), 421, "unknown_host")
    problem(api.post(PREDICT, json=asked(), headers={"origin": "https://evil.example"}), 403,
            "cross_site")
    file = Tokens(toy.settings.tokens)
    _, secret = file.create("shop", ["predict"], [], datetime(2024, 1, 8, tzinfo=UTC))
    while api.post(PREDICT, json=asked()).status_code == 200:
        pass  # until the server looks at the file again
    problem(api.post(PREDICT, json=asked()), 401, "unauthorized")
    sent = {"authorization": f"Bearer {secret}"}
    assert api.post(PREDICT, json=asked(), headers=sent).status_code == 200


def test_clients_that_ask_at_once_are_answered_once_each(toy: Toy, api: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(
            lambda n: api.post(PREDICT, json=asked(f"e{n // 2}")).content, range(80)))
    assert all(answers[n] == answers[n + 1] for n in range(0, 80, 2))
    assert EventLog(toy.settings.event_log).count("toy") == (40, 0)


@pytest.mark.parametrize("plain", ["h11", "httptools"])
def test_it_answers_as_our_connections_do(
    plain: Literal["h11", "httptools"], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Status and body of whatever ordinary clients of HTTP/1.1 send."""
    toys = [Toy(settings=Settings(var=tmp_path_factory.mktemp("alike"))) for _ in range(2)]
    for toy in toys:
        toy.deploy(1)
    with serving(toys[0]) as ours, serving(toys[1], plain=plain) as theirs:
        for name, request in ALIKE.items():
            if name in NEEDS_OUR_CONNECTION:
                continue
            answers = []
            for each in (ours, theirs):
                with connected(each) as client:
                    answer = client.ask(request)
                answers.append((answer.status, answer.body))
            assert answers[0] == answers[1], name


def test_serve_does_without_our_connections_and_stops_as_ever(settings: Settings) -> None:
    with server(settings, plain_asgi=True) as running:
        answer = httpx.post(f"{running.url}{PREDICT}", json=asked("e1"))
        assert answer.json()["event_id"] == "e1"
        # Our connections refuse a head of this size: so these are not ours.
        large = httpx.get(f"{running.url}/healthz", headers={"x-large": "x" * 33_000})
        assert large.status_code == 200
        status, rest = running.stop(signal.SIGTERM)
    assert (status in (0, -signal.SIGTERM), "Traceback" in rest) == (True, False)
    assert EventLog(settings.event_log).count("toy") == (1, 0)


def test_only_the_seam_imports_private_classes_of_uvicorn() -> None:
    private = re.compile(r"^\s*(from|import) uvicorn\.", re.MULTILINE)
    found = [file.name for file in (ROOT / "ml_assets").rglob("*.py")
             if private.search(file.read_text())]
    assert found == ["uvicorn_seam.py"]
