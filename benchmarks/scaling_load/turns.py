"""The log's one turn: how writers that wait for it share it, measured and simulated.

A writer prepares a batch for a while, waits for the turn, and holds it until its transaction has
ended: a closed queue with one server. All that the simulation knows is what one writer took when
it was alone.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from heapq import heapify, heapreplace
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.scaling_load.events import batches
from ml_assets.core.storage.places import Place
from ml_assets.core.storage.postgres import PostgresDatabase
from ml_assets.ingest.log.event_log import EventLog


@dataclass(frozen=True, kw_only=True)
class Turns:
    """seconds: for all of them; held: seconds of each turn, and of the wait for it if others write
    too; between: from its end to the next one
    """

    seconds: float
    held: Sequence[float]
    between: Sequence[float]


def write(place: Place, writer: int, count: int, size: int, said: Connection) -> None:
    """Append batches, made before, one after the other; a process of its own."""
    ready = batches(writer, count + 1, size)
    with closing(EventLog(place, patience_s=60)) as log:
        log.append_counted(*ready[0])  # statements are prepared, tables are in memory
        assert isinstance(log.connection, PostgresDatabase)
        transact, held = log.connection.transact, list[float]()

        def timed(query: str, parameters: Sequence[Any]) -> Any:
            asked = time.perf_counter()
            found = transact(query, parameters)
            held.append(time.perf_counter() - asked)
            return found

        log.connection.transact = timed  # type: ignore[method-assign]
        said.send("ready")
        said.recv()
        between = []
        start = ended = time.perf_counter()
        for each in ready[1:]:
            log.append_counted(*each)
            before, ended = ended, time.perf_counter()
            between.append(ended - before - held[-1])
        said.send(Turns(seconds=ended - start, held=held, between=between))


def measured(place: Place, writers: int, count: int, size: int, first: int) -> list[Turns]:
    """By so many writers at once; first: the number of the first one, new for each call."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(writers)]
    processes = [context.Process(target=write, args=(place, first + number, count, size, mine))
                 for number, (_, mine) in enumerate(pipes)]
    for process in processes:
        process.start()
    try:
        for theirs, _ in pipes:
            theirs.recv()
        for theirs, _ in pipes:
            theirs.send("go")
        return [theirs.recv() for theirs, _ in pipes]
    finally:
        for process in processes:
            process.join(30)
            process.kill()


def simulated(
    held: Sequence[float], between: Sequence[float], writers: int, *, turns: int = 20_000,
    seed: int = 1,
) -> float:
    """Batches a second of so many writers, who draw their times from these: first come, first
    served.
    """
    draw = random.Random(seed)
    asking = [draw.choice(between) for _ in range(writers)]
    heapify(asking)
    free = 0.0
    for _ in range(turns):
        free = max(free, asking[0]) + draw.choice(held)
        heapreplace(asking, free + draw.choice(between))
    return turns / free
