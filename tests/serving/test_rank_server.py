"""Slates from a real server: what it acknowledged survives it, as a whole."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from ml_assets.core.settings import Settings
from tests.serving.shelf import PATH, logged, look
from tests.serving.test_server import server

CLIENTS = 6
SHELF = "tests.serving.shelf_server"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 4])
def test_kill_9_loses_no_acknowledged_slate_and_a_retry_gets_the_same(
    settings: Settings, workers: int
) -> None:
    """Whatever else the log has is whole slates too."""
    acknowledged: dict[str, str] = {}
    stop, many = threading.Event(), threading.Event()

    def ask(url: str, client: int) -> None:
        with httpx.Client(base_url=url, timeout=10) as http:
            for n in range(10_000):
                if stop.is_set():
                    return
                try:
                    answer = http.post(PATH, json=look(f"r{client}-{n}", n=2 + n % 3))
                except httpx.TransportError:
                    return
                assert answer.status_code == 200, answer.text
                acknowledged[f"r{client}-{n}"] = answer.text
                if len(acknowledged) > 60:
                    many.set()

    with (server(settings, workers=workers, module=SHELF) as running,
          ThreadPoolExecutor(CLIENTS) as pool):
        futures = [pool.submit(ask, running.url, client) for client in range(CLIENTS)]
        assert many.wait(60)
        running.stop(signal.SIGKILL)
        stop.set()
        for future in futures:
            future.result()
    known: dict[str, int] = {}
    for row in logged(settings):
        request = row.event_id.partition("#")[0]
        known[request] = known.get(request, 0) + 1
    assert acknowledged.keys() <= known.keys()
    assert known == {request: 2 + int(request.partition("-")[2]) % 3 for request in known}

    with (server(settings, workers=workers, module=SHELF) as running,
          httpx.Client(base_url=running.url, timeout=10) as http):
        for request, text in list(acknowledged.items())[:40]:
            again = http.post(PATH, json=look(request, n=2 + int(request.partition("-")[2]) % 3))
            assert again.text == text


@pytest.mark.slow
def test_workers_that_are_asked_for_one_slate_at_once_give_one(settings: Settings) -> None:
    """Each asks for another number of items: none gets the rows of two."""
    with (server(settings, workers=4, module=SHELF) as running,
          ThreadPoolExecutor(8) as pool):
        answers = list(pool.map(
            lambda n: httpx.post(f"{running.url}{PATH}", timeout=10,
                                 json=look(f"r{n // 8}", n=1 + n % 8)), range(160)))
    texts: dict[int, set[str]] = {}
    for n, answer in enumerate(answers):
        assert answer.status_code == 200, answer.text
        texts.setdefault(n // 8, set()).add(answer.text)
    assert {len(each) for each in texts.values()} == {1}
    assert len(logged(settings)) == sum(
        text.count('"position":') for [text] in texts.values())
