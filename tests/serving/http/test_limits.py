"""How much a client may send, how slowly, and how many may wait: over real sockets."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import httpx
import pytest

from ml_assets.core.settings import Settings
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.serving.http.connection.connections import Connections
from ml_assets.serving.http.connection.limits import ConnectionLimits
from tests.serving.http.test_draining import address
from tests.serving.http.test_fast_path import (
    PREDICT,
    Answer,
    Client,
    chunked,
    connected,
    get,
    post,
    prediction,
)
from tests.serving.kit import NOON, Toy, asked, event, serving, wait_until
from tests.serving.test_server import Server, server

QUICK = ConnectionLimits(head_seconds=0.4, idle_seconds=0.8, body_seconds=0.6, body_rate=1_000_000,
               unread_seconds=0.6)
MANY = b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1_000) for n in range(90))
ENDLESS = {
    "an endless address": (b"GET /" + b"a" * 200_000, 414),
    "an endless query": (b"GET /?" + b"a" * 200_000, 414),
    "an endless name": (b"GET / HTTP/1.1\r\nX" + b"a" * 400_000, 431),
    "an endless value": (b"GET / HTTP/1.1\r\nX: " + b"a" * 400_000, 431),
    "ever more headers": (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 80_000, 431),
    "ever more large headers": (b"GET / HTTP/1.1\r\n" + MANY * 10, 431),
    "a large head that is complete": (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + MANY + b"\r\n",
                                      431),
    "a long address that is complete": (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n", 414),
    "101 headers": (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n", 431),
    "a large head of a prediction": (post(b"{}", *MANY.decode().split("\r\n")[:-1]), 431),
}


@pytest.fixture
def toy(settings: Settings) -> Toy:
    toy = Toy(settings=settings)
    toy.deploy(1)
    return toy


@pytest.fixture(params=[True, False], ids=["direct", "asgi"])
def api(toy: Toy, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with serving(toy, direct=request.param) as client:
        yield client


@pytest.fixture(params=[True, False], ids=["direct", "asgi"])
def quick(toy: Toy, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A server that waits for nobody for long."""
    with serving(toy, direct=request.param,
                 connections=Connections(QUICK, look_seconds=0.05)) as client:
        yield client


def refused(answer: Answer, status: int) -> str:
    """The code with which a connection was refused."""
    assert answer.status == status, answer
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-request-id"]
    code = json.loads(answer.body)["error"]["code"]
    assert isinstance(code, str)
    return code


def padded(event_id: str, size: int) -> bytes:
    """The body of a prediction, with `size` bytes that no column holds."""
    body: dict[str, object] = {"event": {**event(), "more": "x" * size}, "event_id": event_id}
    return json.dumps(body).encode()


def refused_after(client: Client, sent: bytes) -> Answer:
    """The answer to what the server may stop reading in the middle."""
    with suppress(ConnectionError):
        client.socket.sendall(sent)
    [answer] = client.answers(1)
    assert client.closed
    return answer


# --- the size of a head ---------------------------------------------------------------------


@pytest.mark.parametrize(("sent", "status"), ENDLESS.values(), ids=ENDLESS)
def test_a_head_that_is_too_large_is_refused_before_it_is_complete(
    api: httpx.Client, sent: bytes, status: int
) -> None:
    with connected(api) as client:
        refused(refused_after(client, sent), status)
    assert api.get("/healthz").status_code == 200


def test_the_limits_are_the_same_however_a_head_is_cut(api: httpx.Client) -> None:
    largest = get("/" + "a" * 8_100, *(f"x{n}: {'y' * 230}" for n in range(90)))
    assert 29_000 < len(largest) < 32 * 1024
    for size in (len(largest), 10_000, 1_000, 100):
        with connected(api) as client:
            for place in range(0, len(largest), size):
                client.socket.sendall(largest[place : place + size])
            assert client.answers(1)[0].status == 404
            if size >= 1_000:
                more = largest.replace(b"x1: ", b"x1: " + b"z" * 4_000)
                refused(refused_after(client, more), 431)


def test_requests_behind_a_large_body_are_not_mistaken_for_a_large_head(api: httpx.Client) -> None:
    large = post(padded("a", 100_000))
    with connected(api) as client:
        for event_id in "bcd":
            request = prediction(event_id)
            client.socket.sendall(large + request[:40])
            time.sleep(0.05)
            client.socket.sendall(request[40:])
            assert [answer.status for answer in client.answers(2)] == [200, 200]


def test_what_comes_before_a_refused_request_is_answered_first(api: httpx.Client) -> None:
    with connected(api) as client:
        client.socket.sendall(prediction("a") + get("/healthz") + b"GET /" + b"a" * 9_000)
        answers = client.answers(3)
        assert [answer.status for answer in answers] == [200, 200, 414]
        assert client.closed


def test_a_flood_of_requests_on_one_connection_is_bounded(api: httpx.Client) -> None:
    one = prediction("a")
    with connected(api) as client:
        client.socket.sendall(one + get("/healthz") * 1_000)
        answers = [client.answers(1)[0]]
        while answers[-1].status == 200:
            answers += client.answers(1)
        assert refused(answers[-1], 503) == "overloaded"
        assert 100 < len(answers) < 1_000
        assert client.closed


# --- the size of a body ---------------------------------------------------------------------


def test_chunks_may_not_cost_more_than_what_is_in_them(api: httpx.Client) -> None:
    head = (f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            ).encode()
    for frames in (b"1;" + b"a" * 1_000_000, (b"1;" + b"a" * 4_000 + b"\r\n \r\n") * 300,
                   b"0\r\n" + b"a: b\r\n" * 200_000, b"0\r\nx: " + b"a" * 1_000_000):
        with connected(api) as client:
            assert refused(refused_after(client, head + frames), 400) == "invalid_http"


def test_a_body_may_come_in_chunks_of_one_byte(api: httpx.Client) -> None:
    body = padded("e", 20_000)
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\nX-Trailer: y\r\n\r\n"
    with connected(api) as client:
        assert client.ask(post(pieces, "Transfer-Encoding: chunked")).status == 200
        assert client.ask(prediction("f")).status == 200


def test_trailers_do_not_pass_for_headers(toy: Toy) -> None:
    body = json.dumps(asked("e", NOON)).encode()
    for trailer in (b"Host: rebind.example", b"Origin: http://x", b"X-Request-Id: forged"):
        with serving(toy) as api, connected(api) as client:
            sent = chunked(body)[:-2] + trailer + b"\r\n\r\n"
            answer = client.ask(post(sent, "Transfer-Encoding: chunked", "X-Request-Id: r"))
            assert (answer.status, answer.headers["x-request-id"]) == (200, "r")


def test_bodies_together_may_hold_so_much_and_what_was_held_is_let_go(toy: Toy) -> None:
    crowd = Connections(ConnectionLimits(held_bytes=1_000_000))
    request = post(padded("big", 300_000))
    with serving(toy, connections=crowd) as api, ExitStack() as stack:
        clients = [stack.enter_context(connected(api)) for _ in range(4)]
        for client in clients[:3]:
            client.socket.sendall(request[:-5])
        wait_until(lambda: crowd.held > 800_000)
        refused(refused_after(clients[3], request[:-5]), 503)
        assert api.post(PREDICT, json=asked("small")).status_code == 200
        for client in clients[:3]:
            client.socket.sendall(request[-5:])
            assert client.answers(1)[0].status == 200
        wait_until(lambda: crowd.held == 0)
        with connected(api) as client:
            client.socket.sendall(request[:-5])
            wait_until(lambda: crowd.held > 200_000)
        wait_until(lambda: crowd.held == 0)
        with connected(api) as client:
            assert client.ask(request).status == 200


# --- time -----------------------------------------------------------------------------------


def trickle(client: Client, sent: bytes, pause: float, seconds: float) -> float:
    """Send a byte at a time until the server ends it or has answered; how long it bore that."""
    started = time.monotonic()
    for place in range(len(sent)):
        try:
            client.socket.sendall(sent[place : place + 1])
        except ConnectionError:
            break
        time.sleep(pause)
        if select.select([client.socket], [], [], 0)[0]:
            break
        assert time.monotonic() - started < seconds
    return time.monotonic() - started


def test_a_head_that_comes_too_slowly_is_refused(quick: httpx.Client) -> None:
    for sent in (get("/healthz", "X: " + "y" * 500), b"GET /" + b"a" * 500, b"GET" + b" " * 500):
        with connected(quick) as client:
            assert trickle(client, sent, 0.02, 3) > 0.2
            [answer] = client.answers(1)
            assert refused(answer, 408) == "too_slow"
            assert client.closed


def test_a_body_that_comes_too_slowly_is_refused(quick: httpx.Client) -> None:
    body = json.dumps(asked("e", note="x" * 500)).encode()
    for request in (post(body), post(body, path="/v1/toy/feedback"),
                    post(chunked(body), "Transfer-Encoding: chunked")):
        with connected(quick) as client:
            head, end, rest = request.partition(b"\r\n\r\n")
            client.socket.sendall(head + end)
            assert trickle(client, rest, 0.02, 4) > 0.4
            assert refused(client.answers(1)[0], 408) == "too_slow"
            assert client.closed


def test_a_connection_that_brings_nothing_ends(quick: httpx.Client) -> None:
    with connected(quick) as unused, connected(quick) as used, connected(quick) as blank:
        assert used.ask(prediction("a")).status == 200
        assert trickle(blank, b"\r\n" * 500, 0.02, 5) > 0.4  # no request begins by it
        started = time.monotonic()
        assert (unused.closed, used.closed, blank.closed) == (True, True, True)
        assert time.monotonic() - started < 3


def test_a_slow_answer_is_no_slow_client(settings: Settings) -> None:
    from tests.serving.toy_server import SlowScorer

    toy = Toy(settings=settings, models={1: SlowScorer(pause=1.5)})
    toy.deploy(1)
    with serving(toy, connections=Connections(QUICK, look_seconds=0.05)) as api, \
            connected(api) as client:
        assert client.ask(prediction("a")).status == 200


def test_a_client_that_does_not_read_its_answers_is_let_go(toy: Toy) -> None:
    crowd = Connections(QUICK, look_seconds=0.05)
    with serving(toy, connections=crowd) as api, connected(api) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        started = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - started < 20:
                try:
                    client.socket.settimeout(0.2)
                    client.socket.sendall(get("/openapi.json") * 20)
                except TimeoutError:
                    continue
        wait_until(lambda: len(crowd) <= 1)


def test_a_client_that_sends_steadily_may_take_as_long_as_its_body_needs(toy: Toy) -> None:
    limits = ConnectionLimits(body_seconds=0.3, body_rate=50_000)
    body = padded("e", 300_000)
    with serving(toy, connections=Connections(limits, look_seconds=0.05)) as api, \
            connected(api) as client:
        request = post(body)
        for place in range(0, len(request), 10_000):
            client.socket.sendall(request[place : place + 10_000])
            time.sleep(0.05)
        assert client.answers(1)[0].status == 200


# --- number ---------------------------------------------------------------------------------


def test_half_open_connections_make_room_for_who_asks(toy: Toy) -> None:
    crowd = Connections(ConnectionLimits(connections=20))
    with serving(toy, connections=crowd) as api, ExitStack() as stack:
        assert api.get("/healthz").status_code == 200  # it has asked, and is let stay
        clients = [stack.enter_context(connected(api)) for _ in range(60)]
        for client in clients[::2]:
            client.socket.sendall(b"GET /healthz HTTP/1.1\r\n")
        with connected(api) as late:
            assert late.ask(prediction("late")).status == 200
        assert api.get("/healthz").status_code == 200
        assert len(crowd) <= 20
        assert sum(1 for client in clients[:30] if client.closed) == 30


def test_where_all_are_at_work_who_comes_is_told_so(settings: Settings) -> None:
    from tests.serving.toy_server import SlowScorer

    toy = Toy(settings=settings, models={1: SlowScorer(pause=1.0)})
    toy.deploy(1)
    crowd = Connections(ConnectionLimits(connections=3))
    with serving(toy, direct=False, connections=crowd) as api, ExitStack() as stack:
        api.close()
        clients = [stack.enter_context(connected(api)) for _ in range(3)]
        for client in clients:
            request = prediction("late")
            client.socket.sendall(request[:-1])
        time.sleep(0.2)
        with connected(api) as late:
            answer = late.answers(1)[0]
            assert refused(answer, 503) == "too_many_connections"
            assert answer.headers["retry-after"] == "1"


# --- a process under attack -----------------------------------------------------------------


def megabytes(running: Server) -> float:
    pages = int(Path(f"/proc/{running.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.slow
def test_a_flood_costs_neither_memory_nor_honest_clients_and_one_line_in_the_log(
    settings: Settings,
) -> None:
    """100 MiB of header lines, an endless address, and 400 connections that are half open."""
    lines, url = b"a: b\r\n" * 10_000, b"a" * 60_000
    with server(settings) as running, ExitStack() as stack:
        assert httpx.post(f"{running.url}{PREDICT}", json=asked("first")).status_code == 200
        before = megabytes(running)
        half = [stack.enter_context(closing(Client(address(running)))) for _ in range(400)]
        for client in half:
            client.socket.sendall(b"POST /v1/toy/predict HTTP/1.1\r\nHost: localhost\r\nX: ")
        for begin, more in ((b"GET / HTTP/1.1\r\n", lines), (b"GET /", url)) * 10:
            with closing(Client(address(running))) as flood, pytest.raises(ConnectionError):
                flood.socket.sendall(begin)
                for _ in range(100 * 2**20 // len(more)):
                    flood.socket.sendall(more)
                raise ConnectionError  # all was taken, and let go
        for n in range(20):
            started = time.monotonic()
            answer = httpx.post(f"{running.url}{PREDICT}", json=asked(f"e{n}"))
            assert (answer.status_code, time.monotonic() - started < 2) == (200, True)
        assert megabytes(running) - before < 60
        _, said = running.stop(signal.SIGTERM)
    assert said.count("431 head_too_large") <= 2  # the first, and how many more
    assert "Traceback" not in said
    assert EventLog(settings.event_log).count("toy") == (21, 0)


def test_a_process_holds_as_many_connections_as_declared_or_as_it_may(
    settings: Settings,
) -> None:
    with server(settings) as running:
        limits = Path(f"/proc/{running.process.pid}/limits").read_text()
    [line] = [line for line in limits.splitlines() if line.startswith("Max open files")]
    assert int(line.split()[3]) > 1_000
