"""Online reads beside Feast's own and beside the bare bytes, in files and in Redis.

All stores hold the same rows, every call asks for other customers, and what counts is CPU
time of the reading process; the Redis server's own is left out for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.feature_store.goals import against, told
from benchmarks.feature_store.jobs import run
from benchmarks.feature_store.progress import note
from benchmarks.feature_store.readers import (
    SIZES,
    Reads,
    bare_reads,
    direct_reads,
    feast_reads,
    load,
)
from benchmarks.feature_store.redis_server import running_redis, why_not
from ml_assets.bench import Measurement


def measure(*, quick: bool) -> Iterator[Measurement]:
    customers, runs = (500, 1) if quick else (20_000, 3)
    with TemporaryDirectory(prefix="ml-assets-bench-") as name:
        yield from measure_reads(Path(name), None, customers, runs=runs)
    if missing := why_not():
        note(f"reading from Redis is left out: {missing}")
        return
    with TemporaryDirectory(prefix="ml-assets-bench-") as name, running_redis(Path(name)) as port:
        yield from measure_reads(Path(name), port, customers, runs=runs)


def measure_reads(
    folder: Path, port: int | None, customers: int, *, runs: int, stretch_s: float = 0.05,
) -> Iterator[Measurement]:
    """Each size beside Feast and beside the bare bytes."""
    bench = f"reading: 30 features of 3 views from {'files' if port is None else 'Redis'}"
    where: dict[str, Any] = {"folder": folder, "port": port, "customers": customers}
    for engine in ("ours", "feast"):
        run(f"{bench}: loading {engine}", load, engine=engine, **where)

    def work(label: str, job: Callable[..., Reads], **more: Any) -> Reads:
        return _median(
            runs, f"{bench}: {label}", job, stretch_s=stretch_s, **where, **more
        )

    bare = work("bare", bare_reads)
    direct = work("our reader", direct_reads)
    ours = work("our store through Feast", feast_reads, engine="ours")
    feast = work("Feast", feast_reads, engine="feast")
    equal = bare.digest == direct.digest == ours.digest == feast.digest
    compare = partial(against, unit="CPU ms", equal=equal)
    for size in SIZES:
        asked = f"{bench}, {size} a call"
        yield compare(f"{asked}: our reader beside Feast", ours=direct.cpu_ms[size],
                      peer=feast.cpu_ms[size], times=15)
        yield compare(f"{asked}: our reader beside the bare bytes", ours=direct.cpu_ms[size],
                      peer=bare.cpu_ms[size], times=0.5)
        yield told(f"{asked}: our store through Feast beside Feast's own", unit="CPU ms",
                   ours=ours.cpu_ms[size], peer=feast.cpu_ms[size], equal=equal)


def _median(runs: int, label: str, job: Callable[..., Reads], **arguments: Any) -> Reads:
    """The medians of several processes."""
    found = [run(label, job, **arguments) for _ in range(runs)]
    cpu_ms = {size: median(each.cpu_ms[size] for each in found) for size in SIZES}
    said = ", ".join(f"{cost:.3g} ms for {size}" for size, cost in cpu_ms.items())
    note(f"{label}: {said}, {runs} runs")
    # Runs that disagree with one another agree with no peer.
    return Reads(cpu_ms=cpu_ms, digest=" ".join(sorted({each.digest for each in found})))
