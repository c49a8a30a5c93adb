"""What an event costs an installation of several hosts, what of it cannot be shared, and when
that is used up.

    ml-assets bench scaling --quick

The log's turn is measured with 1, 2 and 4 writers and simulated from what one takes alone. The
last lines say how much of each thing that cannot be shared so many events a second would need:
above 1 it has to be divided. Writers, the server and this process share the machine's cores.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory

from benchmarks.feature_store.goals import told
from benchmarks.scaling_load.costs import Costs, costs_of
from benchmarks.scaling_load.turns import measured, simulated
from ml_assets.bench import Measurement
from ml_assets.core.errors import NotReady
from ml_assets.core.profiles.own_postgres import OwnPostgres
from ml_assets.core.storage.places import Place, PostgresTables

SIZE = 64
"""Predictions logged at once: what a busy worker answers in one turn of its event loop."""
WRITERS = (1, 2, 4)
RATES = (1_000, 100_000, 10_000_000)
PREDICTION_US = 225
"""CPU of an answer at saturation, of `bench serving` (201 to 247)."""
LARGE = 512


def measure(*, quick: bool) -> Iterator[Measurement]:
    count = 60 if quick else 400
    with TemporaryDirectory(prefix="ml-assets-bench-", dir="/tmp") as name:
        folder = Path(name)
        here = costs_of(folder / "log.sqlite", _made(folder / "sqlite"), 1, count, SIZE)
        yield from _told("SQLite", here)
        server = OwnPostgres(folder / "pg")
        try:
            server.start()
        except NotReady as error:
            yield _missing(str(error))
            return
        try:
            place = PostgresTables(server.url, "bench", "predictions")
            there = costs_of(place, _made(folder / "postgres"), 1, count, SIZE)
            yield from _told("PostgreSQL", there)
            turn_s = yield from _turns(place, count)
        finally:
            server.stop()
    yield from _rates(there, turn_s)


def _turns(place: Place, count: int) -> Generator[Measurement, None, float]:
    """Yields what was measured of the turn; returns the seconds that it is held."""
    [many] = measured(place, 1, max(count // 6, 10), LARGE, first=100)
    held: list[float] = []
    between: list[float] = []
    for number, writers in enumerate(WRITERS):
        found = measured(place, writers, count, SIZE, first=10 * (number + 1))
        seconds = max(each.seconds for each in found)
        turns = [each for writer in found for each in writer.held]
        if writers == 1:
            held, between = turns, list(found[0].between)
            for size, some in ((SIZE, held), (LARGE, many.held)):
                yield told(f"scaling: the log's turn, {size} at once, held",
                           ours=median(some) * 1e3, unit="ms", equal=None)
        name = f"scaling: {writers} writer{'s' * (writers > 1)} of the log in PostgreSQL"
        yield replace(told(
            f"{name}, beside the simulation", ours=len(turns) * SIZE / seconds,
            peer=simulated(held, between, writers) * SIZE, unit="events/s", equal=None,
        ), note=f"{os.cpu_count()} cores, a turn and the wait for it take "
                f"{median(turns) * 1e3:.1f} ms")
    return mean(held)


def _told(log: str, costs: Costs) -> Iterator[Measurement]:
    for what, ours, unit in (
        (f"an event into the log in {log}, {SIZE} at once", costs.log_us, "CPU us of the writer"),
        (f"{SIZE} events into the log in {log}, median", median(costs.append_s) * 1e3, "ms"),
        (f"an event of the log in {log} counted by another host", costs.count_us, "CPU us"),
        (f"an event in the log in {log}", costs.log_bytes, "bytes"),
        ("the online state of an entity with few events", costs.entity_bytes, "bytes"),
    ):
        yield told(f"scaling: {what}", ours=ours, unit=unit, equal=None)


def _rates(costs: Costs, turn_s: float) -> Iterator[Measurement]:
    """How many of each it would take, of which the second and the third cannot be divided yet."""
    for rate in RATES:
        for what, needed, unit in (
            ("answers", rate * PREDICTION_US / 1e6, "cores"),
            ("counting, which each host does for all events, in one transaction at a time",
             rate * costs.count_us / 1e6, "times one core"),
            (f"the log's turn, {SIZE} at once", rate / SIZE * turn_s, "times one turn"),
            ("the log", rate * costs.log_bytes * 86_400 / 1e12, "TB a day"),
        ):
            yield told(f"scaling: {rate:,} events/s, {what}", ours=needed, unit=unit, equal=None)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _missing(why: str) -> Measurement:
    return Measurement(bench="scaling: the log in PostgreSQL", ours=0, peer=None, unit="",
                       ratio=None, goal="none", met=True, equal=None, not_measured=why)
