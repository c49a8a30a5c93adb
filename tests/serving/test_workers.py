"""Several processes on one socket: one state, whoever answers, whoever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ml_assets.core.settings import ROOT, Settings
from ml_assets.ingest.log.event_log import EventLog
from tests.serving.kit import LATER, Toy, asked, wait_until
from tests.serving.test_server import Server, server
from tests.serving.tiles import counted


def children(running: Server) -> list[int]:
    pid = running.process.pid
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def post(running: Server, body: dict[str, object]) -> httpx.Response:
    """By a connection of its own, for whichever worker takes it."""
    return httpx.post(f"{running.url}/v1/toy/predict", json=body, timeout=10)


def ask_on(running: Server, count: int) -> None:
    """Ask so often, though the worker that is asked may be killed."""
    for n in range(count):
        with suppress(httpx.TransportError):
            post(running, asked(f"e{n}"))


def version(running: Server) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{running.url}/v1/toy/version").json()
    return found


def predictions(running: Server) -> float:
    """What `/metrics` says of whichever worker takes the connection."""
    text = httpx.get(f"{running.url}/metrics").text
    return sum(sample.value for family in text_string_to_metric_families(text)
               for sample in family.samples if sample.name == "ml_assets_predictions_total")


def all_say(running: Server, count: int) -> bool:
    """Asked so often that every worker answers, with all but certainty."""
    return all(predictions(running) == version(running)["counts"]["predicted"] == count
               for _ in range(12))


def test_retries_that_race_across_workers_get_one_answer_and_count_once(
    settings_of_each: Settings,
) -> None:
    settings = settings_of_each
    with server(settings, workers=2) as running:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(
                lambda n: post(running, asked(f"e{n // 8}", amount=float(n // 8))), range(240)
            ))
        assert {answer.status_code for answer in answers} == {200}
        for n in range(0, 240, 8):
            assert len({answer.content for answer in answers[n : n + 8]}) == 1
        wait_until(lambda: all_say(running, 30))
        assert version(running)["counts"]["repeated"] == 210
        status, rest = running.stop(signal.SIGTERM)
    assert status == 0
    assert "Traceback" not in rest
    assert EventLog(settings.event_log).count("toy") == (30, 0)
    assert counted(settings, "corner", LATER) == 30


def test_a_worker_that_is_killed_is_replaced_and_the_others_go_on(
    settings_of_each: Settings,
) -> None:
    settings = settings_of_each
    with server(settings, workers=2) as running:
        assert len(children(running)) == 2
        killed, other = children(running)
        post(running, asked("before"))
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(children(running)) == 2 and killed not in children(running))
        assert other in children(running)
        assert [post(running, asked(f"e{n}")).status_code for n in range(20)] == [200] * 20
        _, rest = running.stop(signal.SIGTERM)
    assert "a worker ended with -9; another replaces it" in rest
    assert EventLog(settings.event_log).count("toy") == (21, 0)


def test_every_worker_tells_what_all_have_counted_also_those_that_were_killed(
    settings: Settings,
) -> None:
    """What was posted, or told to anyone, stays counted; here all of it, after a second."""
    with server(settings, workers=3) as running:
        for n in range(30):
            post(running, asked(f"a{n}"))
        wait_until(lambda: all_say(running, 30))
        killed = set(children(running)[:2])
        for each in killed:
            os.kill(each, signal.SIGKILL)
        wait_until(lambda: len(children(running)) == 3 and killed.isdisjoint(children(running)))
        assert all_say(running, 30)
        for n in range(30):
            post(running, asked(f"b{n}"))
        wait_until(lambda: all_say(running, 60))


def test_no_count_falls_from_one_scrape_to_the_next_whoever_answers_and_whoever_dies(
    settings: Settings,
) -> None:
    """A scraper takes a fall for a restart, and counts everything again."""
    with server(settings, workers=2) as running, ThreadPoolExecutor(1) as pool:
        load = pool.submit(ask_on, running, 400)
        seen, first = [0.0], children(running)[0]
        while not load.done():
            if len(seen) == 10 and first in children(running):
                os.kill(first, signal.SIGKILL)
            with suppress(httpx.TransportError):
                seen.append(predictions(running))
        assert first not in children(running)
        assert len(seen) > 20
        assert seen == sorted(seen)


def test_what_workers_tell_each_other_is_gone_when_they_are(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with server(settings, workers=2) as running:
        wait_until(lambda: list(tmp_path.glob("ml_assets-*/*")))
        assert running.stop(signal.SIGTERM)[0] == 0
    assert not list(tmp_path.glob("ml_assets-*"))
    with server(settings) as alone:
        post(alone, asked("e"))
        assert predictions(alone) == 1
        assert not list(tmp_path.glob("ml_assets-*"))


def test_all_workers_follow_the_deployments(settings: Settings) -> None:
    with server(settings, workers=2) as running:
        Toy(settings=settings).deploy(2)  # which it does not have
        wait_until(lambda: all(version(running)["refused"] for _ in range(20)))


def test_workers_end_with_their_parent_however_it_ends(settings: Settings) -> None:
    with server(settings, workers=2) as running:
        started = children(running)
        running.process.kill()
        running.process.wait()

        def gone() -> bool:
            listed = subprocess.run(["ps", "-o", "stat=", "-p", ",".join(map(str, started))],
                                    capture_output=True, text=True, check=False).stdout.split()
            return all(state.startswith("Z") for state in listed)

        wait_until(gone)


def test_where_a_worker_cannot_start_none_is_left_and_it_says_why() -> None:
    code = """
from ml_assets.serving.workers import WorkerProcesses

def run(place, ready):
    raise RuntimeError("the library is missing")

WorkerProcesses(2, run, lambda: print("ready")).keep()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                           cwd=ROOT, timeout=20, check=False)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "RuntimeError: the library is missing" in ended.stderr
    assert "WorkerEnded: a worker ended with 1 before it answered" in ended.stderr
