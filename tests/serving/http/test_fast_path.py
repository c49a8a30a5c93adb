"""Predictions that the connection answers itself: as the app answers them, in raw bytes."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import pytest

from ml_assets.core.settings import Settings
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.serving.access.tokens import Tokens
from ml_assets.serving.batching.micro_batches import LONGEST_QUEUE
from ml_assets.serving.composition import create_app
from ml_assets.serving.contract.decoding import MAX_BODY_BYTES
from ml_assets.serving.contract.protocol import PredictAnswer
from ml_assets.serving.http.connection import fast_path as direct
from ml_assets.serving.http.middleware import EdgeMiddleware
from tests.serving.batching.test_micro_batches import Allergic, Gated
from tests.serving.http.test_draining import address
from tests.serving.kit import NOON, Toy, asked, serving, wait_until
from tests.serving.test_server import server

AT = datetime(2024, 1, 8, tzinfo=UTC)
PREDICT = "/v1/toy/predict"


@pytest.fixture
def toy(settings: Settings) -> Toy:
    toy = Toy(settings=settings)
    toy.deploy(1)
    return toy


def post(body: bytes, *headers: str, path: str = PREDICT, version: str = "1.1") -> bytes:
    """A request to the byte; it says its body's length unless a header says otherwise."""
    if not any(name.startswith(("Content-Length", "Transfer-Encoding")) for name in headers):
        headers = (*headers, f"Content-Length: {len(body)}")
    lines = (f"POST {path} HTTP/{version}", "Host: localhost", *headers, "", "")
    return "\r\n".join(lines).encode("latin-1") + body


def prediction(event_id: str, *headers: str, **of: object) -> bytes:
    return post(json.dumps(asked(event_id, NOON, **of)).encode(), *headers)


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", "")).encode()


def chunked(body: bytes) -> bytes:
    half = len(body) // 2
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part)
                    for part in (body[:half], body[half:], b""))


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def alike(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """All but what differs from answer to answer."""
        return self.status, [(name, "" if name == "date" else value)
                             for name, value in self.headers.items()], self.body


class Client:
    """One connection, in bytes."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""

    def close(self) -> None:
        self.socket.close()

    def answers(self, count: int) -> list[Answer]:
        return [self._answer() for _ in range(count)]

    def ask(self, request: bytes) -> Answer:
        self.socket.sendall(request)
        return self._answer()

    @property
    def closed(self) -> bool:
        """Whether the server has ended it, with nothing more to say."""
        try:
            return not self._read and not self.socket.recv(1)
        except ConnectionError:  # it did not listen to all that was sent
            return True

    def _answer(self) -> Answer:
        while b"\r\n\r\n" not in self._read:
            self._more()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        assert len(headers) == len(lines)
        size = int(headers.get("content-length", 0))
        while len(self._read) < size:
            self._more()
        body, self._read = self._read[:size], self._read[size:]
        return Answer(status=int(status.split()[1]), headers=headers, body=body)

    def _more(self) -> None:
        part = self.socket.recv(65_536)
        assert part, f"the connection ended after {self._read!r}"
        self._read += part


@contextmanager
def connected(api: httpx.Client) -> Iterator[Client]:
    with closing(Client((api.base_url.host, api.base_url.port or 0))) as client:
        yield client


def event_ids(answers: list[Answer]) -> list[object]:
    return [json.loads(answer.body).get("event_id") for answer in answers]


# --- the same answers -----------------------------------------------------------------------

BODY = json.dumps(asked("e1", NOON)).encode()
ID = "X-Request-Id: r1"
ALIKE = {
    "good": post(BODY, ID),
    "good again": post(BODY, ID),
    "the last on its connection": post(BODY, ID, "Connection: close"),
    "HTTP/1.0": post(BODY, ID, version="1.0"),
    "HTTP/1.0 that would stay": post(BODY, ID, "Connection: keep-alive", version="1.0"),
    "chunked": post(chunked(BODY), ID, "Transfer-Encoding: chunked"),
    "chunked and with a length": post(BODY, ID, "Transfer-Encoding: chunked",
                                      f"Content-Length: {len(BODY)}"),
    "two lengths": post(BODY, ID, "Content-Length: 1", f"Content-Length: {len(BODY)}"),
    "a length that is none": post(b"", ID, "Content-Length: +5"),
    "with a query": post(BODY, ID, path=f"{PREDICT}?a=b"),
    "with an escape": post(BODY, ID, path="/v1/toy/pre%64ict"),
    "with the host": post(BODY, ID, path=f"http://localhost{PREDICT}"),
    "without a body": post(b"", ID),
    "without a length": f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\n{ID}\r\n\r\n".encode(),
    "no JSON": post(b"{", ID),
    "no UTF-8": post(b'{"event": {"note": "\xff"}}', ID),
    "unusable": post(b'{"event": {"amount": "much"}}', ID),
    "changed": prediction("e1", ID, amount=99.0),
    "the model breaks": prediction("e2", ID, note="poison"),
    "its score is none": prediction("e3", ID, note="odd"),
    "too long an id": prediction("x" * 201, ID),
    "as large as may be": post(BODY + b" " * (MAX_BODY_BYTES - len(BODY)), ID),
    "too large": post(b" " * (MAX_BODY_BYTES + 1), ID),
    "far too large": post(b"", ID, f"Content-Length: {100 * MAX_BODY_BYTES}"),
    "too large, and waits": post(b"", ID, "Expect: 100-continue",
                                 f"Content-Length: {2 * MAX_BODY_BYTES}"),
    "no such system": post(BODY, ID, path="/v1/nowhere/predict"),
    "another method": get(PREDICT, ID),
    "it would speak WebSocket": post(
        BODY, ID, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="),
    "compressed": post(BODY, ID, "Content-Encoding: gzip"),
    "it would speak HTTP/2": post(BODY, ID, "Connection: Upgrade, HTTP2-Settings",
                                  "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"),
}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Two servers that have seen the same: by the connection, and by the app alone."""
    toys = [Toy(settings=Settings(var=tmp_path_factory.mktemp("both")), models={1: Allergic()})
            for _ in range(2)]
    for toy in toys:
        toy.deploy(1)
    with serving(toys[0]) as ours, serving(toys[1], direct=False) as plain:
        yield ours, plain


@pytest.mark.parametrize("request_", ALIKE.values(), ids=ALIKE)
def test_the_connection_and_the_app_answer_alike(
    both: tuple[httpx.Client, httpx.Client], request_: bytes
) -> None:
    answers = []
    for api in both:
        with connected(api) as client:
            answers.append(client.ask(request_))
    ours, app = answers
    assert ours.alike == app.alike
    assert ours.headers.get("x-request-id", "r1") == "r1"  # uvicorn refuses what is no HTTP


@pytest.mark.parametrize("sent", [
    (), ("Authorization: Bearer mla_x_y",), ("Authorization: Basic YTpi",), ("feedback",),
    ("predict",),
])
def test_who_may_not_ask_is_told_so_before_the_body_is_there(
    toy: Toy, sent: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Toy(settings=Settings(var=tmp_path_factory.mktemp("other")))
    other.deploy(1)
    tokens = Tokens(toy.settings.tokens)
    made = {scope: f"Authorization: Bearer {tokens.create(scope, [scope], [], AT)[1]}"
            for scope in ("predict", "feedback")}
    Tokens(other.settings.tokens).adopt(tokens.read())
    request = prediction("e", ID, *(made.get(each, each) for each in sent))
    answers = []
    with serving(toy) as ours, serving(other, direct=False) as plain:
        for api in (ours, plain):
            with connected(api) as client:
                head, end, body = request.partition(b"\r\n\r\n")
                client.socket.sendall(head + end)
                if sent == ("predict",):
                    client.socket.sendall(body)
                    answers += client.answers(1)
                else:
                    answers += client.answers(1)
                    client.socket.sendall(body)  # and the next request is understood
                    answers.append(client.ask(get("/healthz", "X-Request-Id: r2")))
    half = len(answers) // 2
    assert [one.alike for one in answers[:half]] == [one.alike for one in answers[half:]]
    expected = {(): 401, ("feedback",): 403, ("predict",): 200}.get(sent, 401)
    assert answers[0].status == expected


def test_a_plain_prediction_does_without_the_app(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the app was asked")

    with serving(toy) as api:
        monkeypatch.setattr(EdgeMiddleware, "__call__", refuse)
        assert api.post(PREDICT, json=asked()).status_code == 200
        assert api.get("/healthz").status_code == 500
        monkeypatch.undo()


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "a\tb", "<script>", "\xe4"])
def test_an_id_that_is_not_sane_is_replaced(toy: Toy, given: str) -> None:
    with serving(toy) as api, connected(api) as client:
        header = f"X-Request-Id: {given}"
        for request in (prediction("e", header), post(b"{", header)):
            answer = client.ask(request)
            assert answer.headers["x-request-id"] != given
            assert answer.headers["x-request-id"].isalnum()
            assert len(answer.headers["x-request-id"]) == 16


# --- how requests come ----------------------------------------------------------------------


def test_requests_behind_one_another_are_answered_in_order_whoever_answers(toy: Toy) -> None:
    with serving(toy) as api, connected(api) as client:
        body = json.dumps(asked("c")).encode()
        requests = [
            prediction("a", "X-Request-Id: 0"), get("/healthz", "X-Request-Id: 1"),
            prediction("b", "X-Request-Id: 2"), post(b"{", "X-Request-Id: 3"),
            post(chunked(body), "Transfer-Encoding: chunked", "X-Request-Id: 4"),
            get("/nowhere", "X-Request-Id: 5"), prediction("d", "X-Request-Id: 6"),
        ]
        client.socket.sendall(b"".join(requests))
        answers = client.answers(7)
        assert [answer.headers["x-request-id"] for answer in answers] == list("0123456")
        assert event_ids(answers) == ["a", None, "b", None, "c", None, "d"]
        assert [answer.status for answer in answers] == [200, 200, 200, 422, 200, 404, 200]
        client.socket.sendall(b"".join(reversed(requests)))
        again = client.answers(7)
        assert [answer.headers["x-request-id"] for answer in again] == list("6543210")
        assert client.ask(prediction("e")).status == 200


def test_a_request_may_come_byte_by_byte(toy: Toy) -> None:
    with serving(toy) as api, connected(api) as client:
        for request in (prediction("a"), prediction("b")):
            for place in range(len(request)):
                client.socket.sendall(request[place : place + 1])
                if place % 10 == 0:
                    time.sleep(0.0005)
        assert event_ids(client.answers(2)) == ["a", "b"]


def test_the_last_request_of_a_connection_ends_it(toy: Toy) -> None:
    requests = (prediction("a", "Connection: close"), post(BODY, version="1.0"),
                post(b"{", "Connection: close"))
    with serving(toy) as api:
        for request in requests:
            with connected(api) as client:
                client.socket.sendall(request + prediction("never"))
                [answer] = client.answers(1)
                assert answer.headers["connection"] == "close"
                assert client.closed
    assert EventLog(toy.settings.event_log).answer_to("toy", "never") is None


def test_a_body_may_wait_for_leave(toy: Toy) -> None:
    head, end, body = prediction("a", "Expect: 100-continue").partition(b"\r\n\r\n")
    with serving(toy) as api, connected(api) as client:
        leave = client.ask(head + end)
        assert (leave.status, leave.body) == (100, b"")
        assert event_ids([client.ask(body)]) == ["a"]


def test_what_is_no_http_ends_the_connection_after_what_was(toy: Toy) -> None:
    with serving(toy) as api, connected(api) as client:
        assert client.ask(prediction("a")).status == 200
        answer = client.ask(b"\x16\x03\x01\x00 what is this\r\n\r\n")
        assert (answer.status, client.closed) == (400, True)


def test_a_client_that_does_not_read_waits_in_the_app_until_it_does(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So what is written for it and not sent never grows."""
    seen: list[direct.FastPathProtocol] = []
    made = direct.FastPathProtocol.connection_made

    def connection_made(self: direct.FastPathProtocol, transport: object) -> None:
        made(self, transport)
        seen.append(self)

    monkeypatch.setattr(direct.FastPathProtocol, "connection_made", connection_made)
    with serving(toy) as api, connected(api) as client:
        assert client.ask(prediction("a")).status == 200
        [protocol] = seen
        protocol.loop.call_soon_threadsafe(protocol.pause_writing)
        wait_until(lambda: protocol.flow.write_paused)
        client.socket.sendall(prediction("b") + prediction("c"))
        wait_until(lambda: EventLog(toy.settings.event_log).answer_to("toy", "b"))
        client.socket.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.answers(1)
        client.socket.settimeout(10)
        protocol.loop.call_soon_threadsafe(protocol.resume_writing)
        assert event_ids(client.answers(2)) == ["b", "c"]


# --- who goes away --------------------------------------------------------------------------


def seconds(api: httpx.Client, status: int, version: str) -> bool:
    """Whether `/metrics` has counted one prediction of this end."""
    return (f'request_seconds_count{{model_version="{version}",route="predict",status="{status}",'
            'system="toy"} 1.0') in api.get("/metrics").text


def test_who_goes_while_it_waits_is_logged_and_counted_all_the_same(
    toy: Toy, caplog: pytest.LogCaptureFixture
) -> None:
    features = Gated()
    features.gate.set()
    toy.features = features
    with serving(toy) as api:
        features.gate.clear()
        features.sizes.clear()
        with connected(api) as client:
            client.socket.sendall(prediction("gone"))
            wait_until(lambda: features.sizes)
        features.gate.set()
        wait_until(lambda: seconds(api, 200, "1"))
        assert api.post(PREDICT, json=asked("next")).status_code == 200
    assert EventLog(toy.settings.event_log).answer_to("toy", "gone")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_who_goes_in_the_middle_of_its_body_is_counted_and_no_more(
    toy: Toy, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(toy) as api:
        with connected(api) as client:
            client.socket.sendall(prediction("gone")[:-5])
            time.sleep(0.05)
        wait_until(lambda: seconds(api, 400, ""))
    assert EventLog(toy.settings.event_log).count("toy") == (0, 0)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING
                and record.name != "ml_assets.serving.models.pool"]


def test_a_stop_logs_what_came_though_its_clients_have_gone(settings: Settings) -> None:
    with server(settings, pause=0.3) as running:
        clients = [Client(address(running)) for _ in range(9)]
        for n, client in enumerate(clients):
            client.socket.sendall(prediction(f"e{n}"))
        time.sleep(0.15)
        for client in clients:
            client.close()
        status, rest = running.stop(signal.SIGTERM)
    assert status in (0, -signal.SIGTERM)
    assert "Traceback" not in rest
    assert EventLog(settings.event_log).count("toy") == (9, 0)


def test_an_app_that_ends_answers_first_all_that_waits(toy: Toy) -> None:
    async def go() -> None:
        told: list[object] = []
        app = create_app(toy.settings, [toy.system], toy.backends())
        async with app.router.lifespan_context(app):
            for _ in range(LONGEST_QUEUE):
                queue = app.fast_path.queues[PREDICT.encode()]
                queue.put(json.dumps(asked()).encode(), told.append)
        assert [type(answer) for answer in told] == [PredictAnswer] * LONGEST_QUEUE

    asyncio.run(go())
    assert EventLog(toy.settings.event_log).count("toy") == (LONGEST_QUEUE, 0)


def test_a_stop_under_load_ends_each_connection_with_its_last_answer(settings: Settings) -> None:
    with server(settings, pause=0.3) as running:
        waiting = [Client(address(running)) for _ in range(9)]
        half = Client(address(running))
        for n, client in enumerate(waiting):
            client.socket.sendall(prediction(f"e{n}"))
        request = prediction("half")
        half.socket.sendall(request[:-5])
        time.sleep(0.1)
        os.kill(running.process.pid, signal.SIGTERM)
        time.sleep(0.2)
        half.socket.sendall(request[-5:])
        for client in (*waiting, half):
            [answer] = client.answers(1)
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert client.closed
            client.close()
        assert running.process.wait(10) in (0, -signal.SIGTERM)
    assert EventLog(settings.event_log).count("toy") == (10, 0)


# --- what the log says ----------------------------------------------------------------------


def test_a_fault_of_ours_is_logged_with_its_trace_and_the_connection_goes_on(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    toy = Toy(settings=settings, models={1: Allergic()})
    toy.deploy(1)
    with serving(toy) as api, connected(api) as client:
        answer = client.ask(prediction("e", ID, note="poison"))
        assert (answer.status, answer.headers["x-request-id"]) == (500, "r1")
        assert client.ask(prediction("f")).status == 200
    [fault] = [record for record in caplog.records if record.exc_info]
    assert "a secret of the model" in str(fault.exc_info)


def test_the_door_is_asked_for_each_request_of_a_connection(toy: Toy) -> None:
    """A token that is revoked meanwhile opens nothing any more."""
    file = Tokens(toy.settings.tokens)
    _, secret = file.create("shop", ["predict"], [], AT)
    header = f"Authorization: Bearer {secret}"
    with serving(toy) as api, connected(api) as client:
        assert client.ask(prediction("a", header)).status == 200
        file.revoke("shop", AT)
        time.sleep(1)
        assert client.ask(prediction("b", header)).status == 401
        assert client.ask(prediction("c")).status == 401
