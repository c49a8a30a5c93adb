"""What a slate costs: 200 candidates with twenty features each, ten of them shown and logged.

CPU is that of the server's processes, read from /proc around requests that are sent one after
another; the no-op, uvicorn with a constant answer, is asked in turn. Then payments are predicted
at a steady rate, in turns with and without slates being asked for beside them.
"""

from __future__ import annotations

import json
import random
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from statistics import median

import httpx

from benchmarks.ranking_load import system as films
from benchmarks.serving_load import process_tree
from benchmarks.serving_load.installation import BY, Installation, installed
from benchmarks.serving_load.servers import (
    Server,
    free_port,
    is_ready,
    is_up,
    running,
    start,
    start_noop,
)
from benchmarks.serving_load.system import PAYMENTS
from ml_assets.bench import Measurement

RANK = f"/v1/{films.NAME}/rank"
CANDIDATES = 200
GOAL_CPU_MS, GOAL_P50_MS = 3.0, 10.0
BESIDE = 20
"""Slates a second while payments are predicted."""
PAYMENTS_A_SECOND = 100
GOAL_UNHARMED = 1.1
"""Times the p50 without slates."""


def measure(*, quick: bool) -> Iterator[Measurement]:
    """CPU and p50 of a slate beside the no-op's; p50 of another system with and without slates."""
    rounds, each = (3, 60) if quick else (9, 200)
    with installed() as made, _serving(made) as server:
        noop = start_noop(made.settings.var / "logs" / "noop.log")
        with running(noop, lambda: is_up(noop.port, "/", "{}")):
            yield from _slates(server, noop, rounds, each)
        yield _beside(made, server, rounds=4 if quick else 8, seconds=2 if quick else 5)


def _slates(server: Server, noop: Server, rounds: int, each: int) -> Iterator[Measurement]:
    draw = random.Random(1)
    cpu: dict[str, list[float]] = {"ours": [], "no-op": []}
    took: dict[str, list[float]] = {"ours": [], "no-op": []}
    for turn in range(rounds + 1):
        for name, target, path in (("ours", server, RANK), ("no-op", noop, "/")):
            with httpx.Client(base_url=f"http://127.0.0.1:{target.port}") as http:
                before, times = process_tree.cpu_seconds(target.pid), []
                for number in range(each):
                    body = _request(f"{turn}-{number}", draw)
                    started = time.perf_counter()
                    answer = http.post(path, content=body)
                    times.append((time.perf_counter() - started) * 1000)
                    assert answer.status_code == 200, answer.text
                used = process_tree.cpu_seconds(target.pid) - before
            if turn:  # the first warms up
                cpu[name].append(used / each * 1000)
                took[name] += times
    mine, control = median(cpu["ours"]), median(cpu["no-op"])
    note = f"{CANDIDATES} candidates, 20 features, 10 shown"
    yield Measurement(
        bench="ranking: CPU per slate (beside: the no-op)", ours=mine, peer=control, unit="ms",
        ratio=control / mine, goal=f"at most {GOAL_CPU_MS:g} ms", met=mine <= GOAL_CPU_MS,
        equal=None, note=note)
    mine, control = median(took["ours"]), median(took["no-op"])
    yield Measurement(
        bench="ranking: p50 of a slate (beside: the no-op)", ours=mine, peer=control, unit="ms",
        ratio=control / mine, goal=f"under {GOAL_P50_MS:g} ms", met=mine < GOAL_P50_MS,
        equal=None, note=note)


def _beside(
    made: Installation, server: Server, *, rounds: int, seconds: float
) -> Measurement:
    """Payments in turns with and without slates: so both meet the same machine."""
    alone: list[float] = []
    together: list[float] = []
    bodies = [each.body for each in made.templates]
    for turn in range(2 * rounds):
        with _slates_asked(server, turn) if turn % 2 else _nothing():
            found = _paced(server, f"/v1/{PAYMENTS.name}/predict", PAYMENTS_A_SECOND, seconds,
                           partial(_payment, bodies, turn))
        (together if turn % 2 else alone).extend(found)
    mine, control = median(together), median(alone)
    return Measurement(
        bench=f"ranking: p50 of another system beside {BESIDE} slates a second (beside: without)",
        ours=mine, peer=control, unit="ms", ratio=control / mine,
        goal=f"at most {GOAL_UNHARMED:g}x", met=mine <= GOAL_UNHARMED * control, equal=None,
        note=f"{PAYMENTS_A_SECOND} predictions a second")


@contextmanager
def _slates_asked(server: Server, turn: int) -> Iterator[None]:
    stop, draw = threading.Event(), random.Random(turn)

    def ask() -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as http:
            number = 0
            while not stop.wait(draw.expovariate(BESIDE)):
                http.post(RANK, content=_request(f"b{turn}-{number}", draw))
                number += 1

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _paced(
    server: Server, path: str, rate: float, seconds: float, body: Callable[[int], str]
) -> list[float]:
    """Milliseconds of requests that are sent at random instants."""
    draw, took = random.Random(3), []
    ends = time.perf_counter() + seconds
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as http:
        while (started := time.perf_counter()) < ends:
            answer = http.post(path, content=body(len(took)),
                               headers={"content-type": "application/json"})
            took.append((time.perf_counter() - started) * 1000)
            assert answer.status_code == 200, answer.text
            time.sleep(draw.expovariate(rate))
    return took


def _payment(bodies: Sequence[str], turn: int, number: int) -> str:
    body = bodies[number % len(bodies)].replace("<id>", f"p{turn}-{number}")
    return re.sub("<[a-z]+>", f"{number:08d}", body)


def _request(name: str, draw: random.Random) -> bytes:
    chosen = draw.sample(range(films.FILMS), CANDIDATES)
    return json.dumps({
        "event_id": name, "candidates": [f"film-{number}" for number in chosen],
        "event": {"viewer": f"viewer-{draw.randrange(films.VIEWERS)}", "hour": draw.randrange(24),
                  "minutes": draw.random() * 90},
    }).encode()


@contextmanager
def _serving(made: Installation) -> Iterator[Server]:
    films.prepare(made.settings)
    made.deployments.promote(films.NAME, 1, reason="it is drawn", by=BY, at=made.began)
    port = free_port()
    server = start("ours", [sys.executable, "-m", "benchmarks.ranking_load.server",
                            str(made.settings.var), str(port)],
                   port=port, log=made.settings.var / "logs" / "ours.log")
    with running(server, lambda: is_ready(port)):
        yield server
