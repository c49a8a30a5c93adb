"""What an event costs from a broker, beside the same events posted: CPU of the process that stores.

Events of one stream that three views count, on the real online state. The consumer empties a queue
that was filled before; the API is posted batches of 256, and then single events by one client.
CPU is read from /proc while the log grows from a tenth of them to all.
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import httpx

from benchmarks.broker_load.servers import broker, missing
from benchmarks.ranking_load import system as films
from benchmarks.serving_load import process_tree
from benchmarks.serving_load.servers import Server, free_port, get, running, start
from ml_assets.bench import Measurement
from ml_assets.core.settings import Settings
from ml_assets.serving.broker.address import parse_address
from ml_assets.serving.broker.clients import open_source

STREAM, BATCH = "watched", 256
GOAL = 1.5
"""Times the CPU of an event that is posted in a batch."""
NAMES = {"nats": "NATS JetStream", "amqp": "RabbitMQ"}


class Cost(NamedTuple):
    """us: CPU of an event; rate: events a second; exact: whether each counted once"""

    us: float
    rate: float
    exact: bool


def measure(*, quick: bool) -> Iterator[Measurement]:
    """CPU of an event from each broker beside one that is posted in a batch, and singly."""
    count = 4_000 if quick else 40_000
    posted = _posted(_bodies(count), BATCH)
    singly = _posted(_bodies(count // 4), 1)
    for kind, name in NAMES.items():
        bench = f"broker: CPU of an event from {name} (beside: posted {BATCH} at once)"
        if (lacks := missing(kind)) is not None:
            yield Measurement(bench=bench, ours=0, peer=None, unit="us", ratio=None,
                              goal=f"at most {GOAL:g}x", met=False, equal=None, not_measured=lacks)
            continue
        found = _consumed(kind, _bodies(count))
        yield Measurement(
            bench=bench, ours=found.us, peer=posted.us, unit="us", ratio=posted.us / found.us,
            goal=f"at most {GOAL:g}x", met=found.us <= GOAL * posted.us,
            equal=found.exact and posted.exact and singly.exact,
            note=f"{count:,} events, {found.rate:,.0f}/s; posted {posted.rate:,.0f}/s; posted one "
            f"by one {singly.us:,.0f} us and {singly.rate:,.0f}/s")


def _bodies(count: int) -> list[bytes]:
    draw = random.Random(7)
    return [json.dumps({"event_id": f"w{number}", "event": {
        "viewer": f"viewer-{draw.randrange(films.VIEWERS)}",
        "film": f"film-{draw.randrange(films.FILMS)}", "minutes": draw.random() * 90,
    }}).encode() for number in range(count)]


def _consumed(kind: str, bodies: Sequence[bytes]) -> Cost:
    with _installation() as settings, broker(kind) as server:
        address = server.address(STREAM)
        open_source(parse_address(address), "maker", create=True).close()
        server.put(STREAM, bodies)
        process = start("consumer", [
            sys.executable, "-m", "benchmarks.broker_load.consumer", str(settings.var), address],
            port=server.port, log=settings.var / "logs" / "consumer.log")
        try:
            return _Following(settings, len(bodies)).cost(process)
        finally:
            process.stop()


def _posted(bodies: Sequence[bytes], at_once: int) -> Cost:
    port, path = free_port(), f"/v1/{films.NAME}/events/{STREAM}"
    with _installation() as settings:
        following = _Following(settings, len(bodies))
        server = start("ours", [sys.executable, "-m", "benchmarks.ranking_load.server",
                                str(settings.var), str(port)],
                       port=port, log=settings.var / "logs" / "ours.log")
        with running(server, lambda: get(port, "/healthz")[0] == 200), httpx.Client(
                base_url=f"http://127.0.0.1:{port}") as http:
            for first in range(0, len(bodies), at_once):
                some = bodies[first:first + at_once]
                answer = http.post(path, content=some[0]) if at_once == 1 else http.post(
                    f"{path}/batch", content=b'{"events":[%s]}' % b",".join(some))
                assert answer.status_code == 200, answer.text
                following.look(server)
            return following.cost(server)


class _Following:
    """How the log grows, and what that costs a process."""

    def __init__(self, settings: Settings, count: int) -> None:
        assert isinstance(settings.event_log, Path)
        self._path, self._count = settings.event_log, count
        self._began: tuple[float, float, int] | None = None

    def look(self, server: Server) -> int:
        """How many events are logged; the first tenth is not measured."""
        logged = self._logged()
        if self._began is None and logged >= self._count // 10:
            self._began = (time.monotonic(), process_tree.cpu_seconds(server.pid), logged)
        return logged

    def cost(self, server: Server) -> Cost:
        """Once all are logged."""
        while self.look(server) < self._count:
            assert server.process.poll() is None, server.log.read_text()
            time.sleep(0.02)
        assert self._began is not None
        at, used, logged = self._began
        seconds, cpu = time.monotonic() - at, process_tree.cpu_seconds(server.pid) - used
        done = self._count - logged
        return Cost(cpu / done * 1e6, done / seconds, self._logged() == self._count)

    def _logged(self) -> int:
        if not self._path.exists():
            return 0
        with closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True)) as log:
            try:
                return int(log.execute("select count(*) from told").fetchone()[0])
            except sqlite3.OperationalError:  # it is not made yet
                return 0


@contextmanager
def _installation() -> Iterator[Settings]:
    with TemporaryDirectory(prefix="ml-assets-bench-") as folder:
        settings = Settings(var=Path(folder) / "var")
        films.prepare(settings)
        yield settings
