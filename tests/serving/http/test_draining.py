"""A server that must stop: nothing that has reached it is lost, and clients are told."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection

import httpx
import pytest

from ml_assets.core.settings import Settings
from ml_assets.ingest.log.event_log import EventLog
from tests.serving.kit import LATER, asked, wait_until
from tests.serving.test_server import CLIENTS, Load, Server, server
from tests.serving.tiles import counted


def address(running: Server) -> tuple[str, int]:
    host, port = running.url.removeprefix("http://").split(":")
    return host, int(port)


def connected(running: Server) -> HTTPConnection:
    """A connection that has been used and is idle."""
    connection = HTTPConnection(*address(running), timeout=10)
    assert called(connection, "GET", "/healthz")[:2] == (200, None)
    return connection


def called(
    connection: HTTPConnection, method: str, path: str, body: object = None
) -> tuple[int, str | None, dict[str, object]]:
    """Status, the header `Connection` and the body of an answer."""
    connection.request(method, path, None if body is None else json.dumps(body))
    answer = connection.getresponse()
    return answer.status, answer.getheader("connection"), json.loads(answer.read())


def tell_to_stop(running: Server) -> None:
    """Returns once it takes no new connections."""
    os.kill(running.process.pid, signal.SIGTERM)

    def closed() -> bool:
        try:
            socket.create_connection(address(running)).close()
        except ConnectionError:
            return True
        return False

    wait_until(closed)


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_that_follow_one_another_under_load_cut_no_request(
    settings: Settings, workers: int
) -> None:
    """The law of a rolling restart: clients that keep their connections see no error at all."""
    with ExitStack() as stack, ThreadPoolExecutor(CLIENTS) as pool:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=2048))
        old = stack.enter_context(server(settings, workers=workers, listener=listener))
        load = Load(url=old.url, pause_s=0.005)  # so that some are idle at any time
        clients = [pool.submit(load.ask, n) for n in range(CLIENTS)]
        try:
            for _ in range(3):
                new = stack.enter_context(server(settings, workers=workers, listener=listener))
                status, rest = old.stop(signal.SIGTERM)
                assert status in (0, -signal.SIGTERM), rest
                old, enough = new, len(load.acknowledged) + 100
                while len(load.acknowledged) < enough and not load.cut:
                    time.sleep(0.005)
        finally:
            load.over.set()
            for client in clients:
                client.result()
        assert (load.cut, load.refused) == ([], [])
    logged, _ = EventLog(settings.event_log).count("toy")
    assert logged == len(load.acknowledged)
    assert counted(settings, "corner", LATER) == logged


@pytest.mark.parametrize("workers", [1, 2])
def test_what_comes_on_an_open_connection_is_still_answered_and_told_to_be_the_last(
    settings: Settings, workers: int
) -> None:
    with server(settings, workers=workers) as running:
        asking, looking = connected(running), connected(running)
        tell_to_stop(running)
        status, last, answer = called(asking, "POST", "/v1/toy/predict", asked("e"))
        assert (status, last, answer["event_id"]) == (200, "close", "e")
        status, last, answer = called(looking, "GET", "/readyz")
        assert (status, last) == (503, "close")
        assert (answer["ready"], answer["problems"]) == (False, ["stopping"])
        rest, _ = running.process.communicate(timeout=20)
    assert "Traceback" not in rest
    assert EventLog(settings.event_log).count("toy") == (1, 0)


def test_a_connection_that_brings_nothing_is_closed_and_keeps_nobody_waiting(
    settings: Settings,
) -> None:
    with server(settings) as running, closing(connected(running)) as idle, \
            closing(socket.create_connection(address(running))) as unused:
        # One that never asked counts as idle, too.
        tell_to_stop(running)
        assert running.process.wait(10) in (0, -signal.SIGTERM)
        assert unused.recv(1) == b""
        assert idle.sock.recv(1) == b""


def test_requests_that_were_sent_behind_one_another_are_all_answered(settings: Settings) -> None:
    """The law: only the last answer says that it is the last."""
    def request(event_id: str) -> bytes:
        body = json.dumps(asked(event_id)).encode()
        return (b"POST /v1/toy/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
                % len(body)) + body

    with server(settings, pause=0.5) as running, \
            closing(socket.create_connection(address(running))) as client:
        client.sendall(request("a"))
        time.sleep(0.1)
        os.kill(running.process.pid, signal.SIGTERM)
        time.sleep(0.2)
        client.sendall(request("b") + request("c"))
        said = b""
        while part := client.recv(65_536):
            said += part
        assert running.process.wait(10) in (0, -signal.SIGTERM)
    assert said.count(b"HTTP/1.1 200 OK") == 3
    assert said.count(b"connection: close") == 1
    assert said.rindex(b"connection: close") > said.index(b'"event_id":"b"')
    assert EventLog(settings.event_log).count("toy") == (3, 0)


def test_a_request_whose_head_has_come_in_part_may_be_completed(settings: Settings) -> None:
    with server(settings) as running, \
            closing(socket.create_connection(address(running))) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\n")
        connected(running).close()  # it came later, so this one is taken, too
        tell_to_stop(running)
        client.sendall(b"Host: localhost\r\n\r\n")
        said = b""
        while part := client.recv(65_536):
            said += part
    assert said.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in said


def test_after_a_stop_a_new_connection_is_refused_at_once_not_left_waiting(
    settings: Settings,
) -> None:
    """Also where a parent of several workers has the listening socket open."""
    with server(settings, workers=2, pause=1) as running, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(httpx.post, f"{running.url}/v1/toy/predict", json=asked("e"))
        time.sleep(0.3)
        tell_to_stop(running)
        assert not slow.done()
        assert slow.result().status_code == 200
