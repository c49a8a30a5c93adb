"""Several processes on one socket: one state, whoever answers, whoever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from ml_assets.core.settings import ROOT, Settings
from ml_assets.ingest.event_log import EventLog
from tests.serving.kit import LATER, Toy, asked, wait_until
from tests.serving.test_server import Server, server
from tests.serving.tiles import counted


def children(running: Server) -> list[int]:
    pid = running.process.pid
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def post(running: Server, body: dict[str, object]) -> httpx.Response:
    """By a connection of its own, for whichever worker takes it."""
    return httpx.post(f"{running.url}/v1/toy/predict", json=body, timeout=10)


def version(running: Server) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{running.url}/v1/toy/version").json()
    return found


def test_retries_that_race_across_workers_get_one_answer_and_count_once(
    settings: Settings,
) -> None:
    with server(settings, workers=2) as running:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(
                lambda n: post(running, asked(f"e{n // 8}", amount=float(n // 8))), range(240)
            ))
        assert {answer.status_code for answer in answers} == {200}
        for n in range(0, 240, 8):
            assert len({answer.content for answer in answers[n : n + 8]}) == 1
        seen: set[int] = set()

        def both_answered() -> bool:
            seen.add(version(running)["counts"]["predicted"])
            return seen == {15} or (sum(seen) == 30 and len(seen) == 2 and 0 not in seen)

        wait_until(both_answered)
        status, rest = running.stop(signal.SIGTERM)
    assert status == 0
    assert "Traceback" not in rest
    assert EventLog(settings.event_log).count("toy") == (30, 0)
    assert counted(settings, "corner", LATER) == 30


def test_a_worker_that_is_killed_is_replaced_and_the_others_go_on(settings: Settings) -> None:
    with server(settings, workers=2) as running:
        assert len(children(running)) == 2
        killed, other = children(running)
        post(running, asked("before"))
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(children(running)) == 2 and killed not in children(running))
        assert other in children(running)
        assert [post(running, asked(f"e{n}")).status_code for n in range(20)] == [200] * 20
        _, rest = running.stop(signal.SIGTERM)
    assert "a worker ended with -9; another takes its place" in rest
    assert EventLog(settings.event_log).count("toy") == (21, 0)


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
from ml_assets.serving.workers import Workers

def run(ready):
    raise RuntimeError("the library is missing")

Workers(2, run, lambda: print("ready")).keep()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                           cwd=ROOT, timeout=20, check=False)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "RuntimeError: the library is missing" in ended.stderr
    assert "WorkerEnded: a worker ended with 1 before it answered" in ended.stderr
