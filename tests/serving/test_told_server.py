"""Events that only feed features, told to a real server: what it acknowledged survives it."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import httpx
import pytest

from ml_assets.core.settings import Settings
from ml_assets.ingest.log.event_log import EventLog
from tests.serving.kit import LATER, NOON, Toy
from tests.serving.test_server import server

CLIENTS = 8
PATH = "/v1/toy/events/visits"


def logged(settings: Settings) -> dict[str, str]:
    """When each event was taken in, by id."""
    with closing(EventLog(settings.event_log)) as log:
        told = list(log.told.between("toy", "visits", NOON - timedelta(days=9),
                                     LATER + timedelta(days=9)))
    assert len({each.seq for each in told}) == len(told)
    assert len({each.event_id for each in told}) == len(told)
    return {each.event_id: each.accepted_at.isoformat().replace("+00:00", "Z") for each in told}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 4])
def test_kill_9_loses_no_acknowledged_event_and_a_retry_counts_nothing_twice(
    settings: Settings, workers: int
) -> None:
    """Single ones and batches; sent again to the next server, each gets its first answer."""
    Toy(settings=settings)
    acknowledged: dict[str, str] = {}
    stop, many = threading.Event(), threading.Event()

    def tell(url: str, client: int) -> None:
        with httpx.Client(base_url=url, timeout=10) as http:
            for n in range(10_000):
                if stop.is_set():
                    return
                ids = [f"v{client}-{n}"] if n % 3 else [f"v{client}-{n}-{m}" for m in range(5)]
                bodies = [{"event_id": each, "event": {"shop": "corner"}} for each in ids]
                try:
                    answer = (http.post(PATH, json=bodies[0]) if len(ids) == 1 else
                              http.post(f"{PATH}/batch", json={"events": bodies}))
                except httpx.TransportError:
                    return
                assert answer.status_code == 200, answer.text
                said = [answer.json()] if len(ids) == 1 else answer.json()["events"]
                acknowledged.update((each["event_id"], each["accepted_at"]) for each in said)
                if len(acknowledged) > 100:
                    many.set()

    with server(settings, workers=workers) as running, ThreadPoolExecutor(CLIENTS) as pool:
        futures = [pool.submit(tell, running.url, client) for client in range(CLIENTS)]
        assert many.wait(60)
        running.stop(signal.SIGKILL)
        stop.set()
        for future in futures:
            future.result()
    known = logged(settings)
    assert acknowledged.items() <= known.items()

    with (server(settings, workers=workers) as running,
          httpx.Client(base_url=running.url, timeout=10) as http):
        for event_id, accepted_at in list(acknowledged.items())[:50]:
            again = http.post(PATH, json={"event_id": event_id, "event": {"shop": "corner"}})
            assert again.json()["accepted_at"] == accepted_at
    assert logged(settings) == known
