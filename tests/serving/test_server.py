"""The server as a process: what it acknowledged survives it, however it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from ml_assets.core.settings import ROOT, Settings
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.serving.server import AddressUnavailable, serve
from tests.serving.kit import LATER, Toy, asked
from tests.serving.tiles import counted

CLIENTS = 12


@dataclass(kw_only=True)
class Server:
    """A running toy server and what it has said."""

    process: subprocess.Popen[str]
    said: str

    @property
    def url(self) -> str:
        found = re.search(r"http://127\.0\.0\.1:\d+", self.said)
        assert found, self.said
        return found.group()

    def stop(self, how: signal.Signals) -> tuple[int, str]:
        """Send the signal; exit status and the rest of what it said."""
        os.kill(self.process.pid, how)
        rest, _ = self.process.communicate(timeout=20)
        return self.process.returncode, rest


@contextmanager
def server(
    settings: Settings, *, pause: float = 0, workers: int = 1,
    listener: socket.socket | None = None, plain_asgi: bool = False,
    module: str = "tests.serving.toy_server",
) -> Iterator[Server]:
    """A toy server in a process of its own; killed at the end where it still runs.

    listener: a listening socket that it shares, as those of one supervisor do
    module: what serves, called as `toy_server` is
    """
    where, shared = ("0", ()) if listener is None else (f"fd:{listener.fileno()}", (listener,))
    process = subprocess.Popen(
        [sys.executable, "-m", module, str(settings.var), where, str(pause),
         str(workers), *["plain-asgi"] * plain_asgi],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
        pass_fds=[each.fileno() for each in shared],
    )
    try:
        assert process.stdout is not None
        said = ""
        while "http://" not in said:
            line = process.stdout.readline()
            assert line, f"the server ended: {said}"
            said += line
        yield Server(process=process, said=said)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@dataclass(kw_only=True)
class Load:
    """Clients that ask for new predictions until told to stop, with a pause before each."""

    url: str
    pause_s: float = 0.0
    acknowledged: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def ask(self, client: int) -> None:
        with httpx.Client(base_url=self.url, timeout=10) as http:
            n = 0
            while not self.over.wait(self.pause_s):
                event_id = f"{client}-{n}"
                try:
                    answer = http.post("/v1/toy/predict", json=asked(event_id, amount=float(n)))
                except httpx.TransportError as error:
                    self.cut.append(repr(error))
                    return
                if answer.status_code == 200:
                    self.acknowledged[event_id] = answer.text
                else:
                    self.refused.append(answer.text)
                n += 1


@pytest.mark.parametrize("ack", ["process", "disk"])
def test_kill_9_loses_no_acknowledged_prediction_and_counts_none_twice(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, ack: str
) -> None:
    """Under so many clients that most batches hold several requests; and retries get answers."""
    monkeypatch.setenv("ML_ASSETS_ACK", ack)
    with server(settings) as first:
        assert httpx.get(f"{first.url}/v1/toy/version").json()["ack"] == ack
        load = Load(url=first.url)
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(load.ask, n) for n in range(CLIENTS)]
            while len(load.acknowledged) < 300:
                time.sleep(0.005)
            first.stop(signal.SIGKILL)
            for client in clients:
                client.result()
    assert not load.refused
    log = EventLog(settings.event_log)
    assert all(log.answer_to("toy", event_id) for event_id in load.acknowledged)
    logged, _ = log.count("toy")
    assert len(load.acknowledged) <= logged <= len(load.acknowledged) + CLIENTS
    assert counted(settings, "corner", LATER) == logged
    with server(settings) as again, httpx.Client(base_url=again.url) as http:
        for event_id, answer in list(load.acknowledged.items())[-20:]:
            amount = float(event_id.split("-")[1])
            body = asked(event_id, amount=amount)
            assert http.post("/v1/toy/predict", json=body).text == answer
    assert EventLog(settings.event_log).count("toy") == (logged, 0)
    assert counted(settings, "corner", LATER) == logged


def test_a_stop_under_load_loses_nothing_that_was_acknowledged(settings: Settings) -> None:
    with server(settings) as running:
        load = Load(url=running.url)
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(load.ask, n) for n in range(CLIENTS)]
            while len(load.acknowledged) < 300:
                time.sleep(0.005)
            status, rest = running.stop(signal.SIGTERM)
            for client in clients:
                client.result()
    assert status in (0, -signal.SIGTERM)
    assert "Traceback" not in rest
    assert not load.refused
    logged, _ = EventLog(settings.event_log).count("toy")
    # Drained: whatever was logged was answered, too.
    assert logged == len(load.acknowledged)
    assert counted(settings, "corner", LATER) == logged


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_answers_what_is_in_progress_and_ends_without_a_trace(
    settings: Settings, how: signal.Signals
) -> None:
    with server(settings, pause=0.2) as running, ThreadPoolExecutor(3) as pool:
        clients = [httpx.Client(base_url=running.url, timeout=10) for _ in range(3)]
        for client in clients:
            client.get("/healthz")
        pending = [
            pool.submit(client.post, "/v1/toy/predict", json=asked(f"e{n}"))
            for n, client in enumerate(clients)
        ]
        time.sleep(0.15)
        status, rest = running.stop(how)
        answers = [each.result() for each in pending]
        for client in clients:
            client.close()
    assert [answer.status_code for answer in answers] == [200] * 3
    assert status in (0, -how)
    assert "Traceback" not in rest
    assert EventLog(settings.event_log).count("toy") == (3, 0)


def test_a_server_that_was_started_with_nohup_outlives_its_terminal(settings: Settings) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with server(settings) as one, server(settings, workers=2) as several:
            for running in (one, several):
                os.kill(running.process.pid, signal.SIGHUP)
                time.sleep(0.5)
                assert httpx.get(f"{running.url}/readyz").status_code == 200
                assert running.stop(signal.SIGTERM)[0] in (0, -signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_several_workers_end_with_their_terminal_as_one_does(settings: Settings) -> None:
    with server(settings, workers=2, pause=0.3) as running, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.post, f"{running.url}/v1/toy/predict", json=asked("e"))
        time.sleep(0.15)
        status, rest = running.stop(signal.SIGHUP)
        assert answer.result().status_code == 200
    assert (status, "Traceback" in rest) == (0, False)


def test_it_says_where_it_answers_once_it_does(settings: Settings) -> None:
    with server(settings) as running:
        assert f"{running.url}/docs" in running.said
        assert httpx.get(f"{running.url}/readyz").json()["ready"] is True


def test_a_taken_port_is_a_clear_error(settings: Settings) -> None:
    with server(settings) as running:
        port = int(running.url.rpartition(":")[2])
        toy = Toy(settings=Settings(var=settings.var, port=port))
        with pytest.raises(AddressUnavailable, match=f"port {port} of 127.0.0.1 is taken.*--port"):
            serve(toy.settings, [toy.system], backends=toy.backends())


def test_a_host_that_is_not_ours_is_a_clear_error(settings: Settings) -> None:
    elsewhere = Settings(var=settings.var, host="192.0.2.1", port=0)
    with pytest.raises(AddressUnavailable, match=r"cannot listen on 192\.0\.2\.1:0"):
        serve(elsewhere, [])
