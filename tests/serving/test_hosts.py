"""Several hosts answer from one log: one that dies leaves its clients to another one."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from ml_assets.core.settings import Settings
from ml_assets.core.time import EventClock
from ml_assets.ingest.log.event_log import EventLog
from tests.places import cluster_at, environment
from tests.serving.kit import LATER, NOON, asked
from tests.serving.test_server import server
from tests.serving.tiles import counted

CLIENTS, SHOPS, MORE = 6, 3, 5
BEHIND = timedelta(hours=2)
"""How far the clock of the host that is left lies behind."""


def shop_of(event_id: str) -> str:
    return f"shop {int(event_id.split('-')[1]) % SHOPS}"


@pytest.mark.slow
def test_what_a_dying_host_left_unanswered_is_asked_of_another_one_and_counts_once(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose clock is hours behind: instants in the log never go back all the same."""
    cluster = cluster_at(postgres_url, tmp_path / "shared")
    hosts = [Settings(var=tmp_path / name / "var", cluster=cluster) for name in ("a", "b")]
    for name, value in environment(hosts[0]).items():
        monkeypatch.setenv(name, value)
    acknowledged: dict[str, tuple[str, float]] = {}
    unanswered: list[str] = []
    many = threading.Event()

    def post(api: httpx.Client, event_id: str) -> tuple[str, float]:
        answer = api.post("/v1/toy/predict", json=asked(event_id, shop=shop_of(event_id)))
        assert answer.status_code == 200, answer.text
        said = answer.json()
        return said["prediction_id"], said["score"]

    def ask(client: int) -> None:
        first, other = (httpx.Client(base_url=url, timeout=20) for url in urls)
        with first, other:
            for n in range(10_000):
                event_id = f"{client}-{n}"
                try:
                    acknowledged[event_id] = post(first, event_id)
                except httpx.TransportError:
                    unanswered.append(event_id)
                    acknowledged[event_id] = post(other, event_id)
                    for more in range(MORE):
                        acknowledged[f"{client}-{n + more + 1}"] = post(
                            other, f"{client}-{n + more + 1}")
                    return
                if len(acknowledged) > 60:
                    many.set()

    with ExitStack() as servers:
        running = [servers.enter_context(server(host)) for host in hosts]
        urls = [each.url for each in running]
        clock = EventClock(hosts[1].clock_file("toy"))
        clock.set(NOON - BEHIND)
        with ThreadPoolExecutor(CLIENTS) as pool:
            asking = [pool.submit(ask, client) for client in range(CLIENTS)]
            assert many.wait(60)
            running[0].stop(signal.SIGKILL)
            for each in asking:
                each.result()
        assert len(unanswered) == CLIENTS
        with httpx.Client(base_url=urls[1], timeout=20) as api:
            for event_id in list(acknowledged)[:20]:
                assert post(api, event_id) == acknowledged[event_id], "its first answer"
    with closing(EventLog(cluster.event_log)) as log:
        stored = list(log.predictions("toy", NOON - 9 * BEHIND, LATER + 9 * BEHIND))
    assert sorted(each.event_id for each in stored) == sorted(acknowledged)
    instants = [each.accepted_at for each in sorted(stored, key=lambda each: each.seq or 0)]
    assert instants == sorted(instants) and len(set(instants)) > 1
    wanted = Counter(shop_of(each) for each in acknowledged)
    assert {shop: counted(hosts[1], shop, LATER) for shop in wanted} == wanted
