"""Where one message ends is said once and unmistakably, or the connection ends."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.core.settings import Settings
from ml_assets.ingest.log.event_log import EventLog
from tests.serving.http.test_fast_path import PREDICT, connected, get, prediction
from tests.serving.kit import Toy, serving

HEAD = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\n".encode()
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
INNER = get("/healthz", "X-Request-Id: smuggled")
UNSOUND = {
    "length and chunks": (HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
                          b"\r\n", 400),
    "chunks and length": (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n"
                          b"\r\n", 400),
    "two lengths": (HEAD + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n", 400),
    "one length twice": (HEAD + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n", 400),
    "a list of lengths": (HEAD + b"Content-Length: 0, 0\r\n\r\n", 400),
    "a signed length": (HEAD + b"Content-Length: +0\r\n\r\n", 400),
    "an empty length": (HEAD + b"Content-Length:\r\n\r\n", 400),
    "a length beyond all": (HEAD + b"Content-Length: 18446744073709551617\r\n\r\n", 400),
    "a space before the colon": (HEAD + b"Content-Length : 0\r\n\r\n", 400),
    "another coding": (HEAD + b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n", 501),
    "another coding before": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "in two headers": (HEAD + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
                       b"0\r\n\r\n", 501),
    "identity": (HEAD + b"Transfer-Encoding: identity\r\n\r\n", 501),
    "nearly chunked": (HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    "chunked twice": (HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked and identity": (HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    "a control before": (HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "chunks in HTTP/1.0": (HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
                           b"\r\n", 501),
    "a folded header": (HEAD + b"X: a\r\n Content-Length: 0\r\n\r\n", 400),
    "a folded coding": (HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    "bare line feeds": (HEAD.replace(b"\r\n", b"\n") + b"\n", 400),
    "a bare line feed": (HEAD + b"X: a\nContent-Length: 0\r\n\r\n", 400),
    "a bare carriage return": (HEAD + b"X: a\rContent-Length: 0\r\n\r\n", 400),
    "a NUL": (HEAD + b"X: a\0\r\n\r\n", 400),
    "a space in a name": (HEAD + b"X Y: a\r\n\r\n", 400),
    "no colon": (HEAD + b"X\r\n\r\n", 400),
    "a chunk's size in another form": (CHUNKED + b"0x1\r\na\r\n0\r\n\r\n", 400),
    "a chunk's size with a sign": (CHUNKED + b"+1\r\na\r\n0\r\n\r\n", 400),
    "a chunk's size with a space": (CHUNKED + b"1 \r\na\r\n0\r\n\r\n", 400),
    "a chunk's size beyond all": (CHUNKED + b"f" * 17 + b"\r\na\r\n0\r\n\r\n", 400),
    "a chunk that ends late": (CHUNKED + b"1\r\nab\r\n0\r\n\r\n", 400),
    "a chunk's line feed": (CHUNKED + b"1\na\r\n0\r\n\r\n", 400),
    "a line feed in a chunk's extension": (CHUNKED + b"1;a\nb\r\na\r\n0\r\n\r\n", 400),
    "a length in a trailer": (CHUNKED + b"0\r\nContent-Length: 4\r\n\r\n", 400),
    "a tunnel": (b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", 505),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/3": (b"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1", 400),
}


@pytest.fixture(scope="module", params=[True, False], ids=["direct", "asgi"])
def api(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Toy, httpx.Client]]:
    toy = Toy(settings=Settings(var=tmp_path_factory.mktemp("smuggling")))
    toy.deploy(1)
    with serving(toy, direct=request.param) as client:
        yield toy, client


@pytest.mark.parametrize(("sent", "status"), UNSOUND.values(), ids=UNSOUND)
def test_what_can_be_read_in_two_ways_ends_the_connection_and_nothing_behind_it_is_answered(
    api: tuple[Toy, httpx.Client], sent: bytes, status: int
) -> None:
    with connected(api[1]) as client:
        client.socket.sendall(sent + INNER)
        [answer] = client.answers(1)
        assert answer.status == status, answer
        assert answer.headers["connection"] == "close"
        assert client.closed


@pytest.mark.parametrize(("sent", "status"), UNSOUND.values(), ids=UNSOUND)
def test_a_sound_request_before_it_is_answered_and_no_other(
    api: tuple[Toy, httpx.Client], sent: bytes, status: int
) -> None:
    with connected(api[1]) as client:
        client.socket.sendall(prediction("before") + sent + prediction("behind"))
        answers = client.answers(2)
        assert [answer.status for answer in answers] == [200, status]
        assert client.closed
    assert EventLog(api[0].settings.event_log).answer_to("toy", "behind") is None


def test_a_body_that_says_another_request_is_a_body(api: tuple[Toy, httpx.Client]) -> None:
    with connected(api[1]) as client:
        client.socket.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(INNER) + INNER
                              + get("/healthz", "X-Request-Id: own"))
        answers = client.answers(2)
    assert [answer.status for answer in answers] == [422, 200]
    assert answers[1].headers["x-request-id"] == "own"


LINES = st.sampled_from([
    b"Content-Length: 4", b"Content-Length: 0", b"content-length: 4,4", b"Content-Length : 4",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b"Transfer-Encoding:chunked",
    b"Transfer-Encoding: chunked;q=1", b"Connection: close", b"Connection: upgrade",
    b"Upgrade: h2c", b"Expect: 100-continue", b"X: y", b" folded", b"Upgrade: websocket",
    b"Content-Length:  4 ",
])
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"])


@settings(max_examples=150, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(LINES, ENDS), max_size=6), st.booleans())
def test_no_mixture_of_lengths_codings_and_offers_makes_two_requests_of_one(
    api: tuple[Toy, httpx.Client], lines: list[tuple[bytes, bytes]], post: bool
) -> None:
    """One head and four bytes: one answer, and one more only if these four begin the next head."""
    method = b"POST /v1/toy/feedback" if post else b"GET /healthz"
    head = method + b" HTTP/1.1\r\nHost: localhost\r\n" + b"".join(a + b for a, b in lines)
    with connected(api[1]) as client:
        client.socket.sendall(head + b"\r\n0\r\n\r\n" + INNER)
        client.socket.shutdown(1)
        said = b""
        while part := client.socket.recv(65_536):
            said += part
    statuses = [int(line.split()[1]) for line in said.split(b"\r\n")
                if line.startswith(b"HTTP/1.1 ")]
    assert all(status < 500 or status == 501 for status in statuses)
    assert said.count(b"x-request-id: smuggled") <= 1
    assert len([status for status in statuses if status != 100]) <= 3
