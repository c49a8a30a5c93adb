"""Measured work: each piece in its own process, with warm imports.

The processes are forked from one that has imported the libraries and done nothing else. So each
starts with its CPU time at zero, and what one piece of work leaves in memory neither helps nor
harms the next.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import resource
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from traceback import format_exc
from types import TracebackType
from typing import Any, TypeVar

from benchmarks.feature_store.progress import announced, note
from ml_assets.core.errors import MlAssetsError

T = TypeVar("T")

CORES = 2
"""What every process may use; most goals are stated for two cores."""

ENOUGH_CPU_S = 30.0
"""Work that has cost this much is not repeated for a median."""

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([
    "feast", "feast.infra.offline_stores.duckdb", "feast.infra.online_stores.sqlite",
    "ml_assets.features.feast_stores.offline", "ml_assets.features.feast_stores.loading",
    "ml_assets.features.online_store.reader", "duckdb", "ibis", "pandas", "pyarrow.parquet",
])


@dataclass(frozen=True, kw_only=True)
class Cost:
    """cpu_s: user and system time of all threads and children; peak_gb: of resident memory,
    libraries included; added_gb: how far that peak lay above what was held before the work.
    """

    cpu_s: float
    wall_s: float
    peak_gb: float
    added_gb: float

    def __str__(self) -> str:
        return (f"{self.cpu_s:.3g} CPU s, {self.wall_s:.3g} s, peak {self.peak_gb:.2f} GB "
                f"of which {self.added_gb:.2f} for the work")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a piece of work cost, and a digest of its result.

    disk: bytes that go to the disk, and by how many the files grew
    """

    cost: Cost
    digest: str
    disk: tuple[int, int] = (0, 0)


class Meter:
    """`with Meter() as meter: ...`, then `meter.cost`."""

    cost: Cost

    def __enter__(self) -> Meter:
        # Sets the peak back to what is held now (proc(5), clear_refs).
        Path("/proc/self/clear_refs").write_text("5")
        self._held = _memory_gb("VmRSS")
        self._cpu_s, self._wall_s = cpu_s(), time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        spent_s, wall_s = cpu_s() - self._cpu_s, time.perf_counter() - self._wall_s
        peak = _memory_gb("VmHWM")
        self.cost = Cost(
            cpu_s=spent_s, wall_s=wall_s, peak_gb=peak, added_gb=peak - self._held
        )


def cpu_s() -> float:
    """CPU seconds of this process so far, its threads and ended children included."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def written_bytes() -> int:
    """Bytes of files that this process has changed and that go to the disk some time.

    A page that is changed again before it went there counts once. 0 in memory.
    """
    found = re.search(r"^write_bytes: (\d+)$", Path("/proc/self/io").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def run(label: str, job: Callable[..., T], /, **arguments: Any) -> T:
    """`job(**arguments)` in a fresh process.

    label: what it is, shown meanwhile
    job:   a function of a module, so that the process finds it by its name

    Its output is discarded, since libraries print. Raises MlAssetsError, with the traceback, if
    it failed or was killed.
    """
    reader, writer = _processes.Pipe(duplex=False)
    process = _processes.Process(target=_work, args=(writer, job, arguments), daemon=True)
    with announced(label):
        process.start()
        writer.close()
        try:
            done, found = reader.recv()
        except EOFError:
            done, found = False, "it ended without a word"
        process.join()
    if not done:
        if process.exitcode:
            found = f"{found}; exit code {process.exitcode}; -9 may mean that memory ran out"
        raise MlAssetsError(f"benchmark {label!r} failed: {found}")
    result: T = found
    return result


def median_of(
    runs: int, label: str, job: Callable[..., Outcome], /, **arguments: Any
) -> Outcome:
    """The medians of `runs` runs, or of fewer if these have cost `ENOUGH_CPU_S`."""
    outcomes: list[Outcome] = []
    while len(outcomes) < runs and sum(each.cost.cpu_s for each in outcomes) < ENOUGH_CPU_S:
        outcomes.append(run(label, job, **arguments))
    costs = [each.cost for each in outcomes]
    median_outcome = Outcome(
        cost=Cost(
            cpu_s=median(each.cpu_s for each in costs),
            wall_s=median(each.wall_s for each in costs),
            peak_gb=median(each.peak_gb for each in costs),
            added_gb=median(each.added_gb for each in costs),
        ),
        # Runs that disagree with one another agree with no peer.
        digest=" ".join(sorted({each.digest for each in outcomes})),
        disk=outcomes[-1].disk,
    )
    note(f"{label}: {median_outcome.cost}, {len(outcomes)} runs")
    return median_outcome


def _work(writer: Connection, job: Callable[..., object], arguments: dict[str, Any]) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    # Feast's DuckDB store reads instants in the machine's time zone.
    os.environ["TZ"] = "UTC"
    time.tzset()
    warnings.simplefilter("ignore")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    try:
        writer.send((True, job(**arguments)))
    except Exception:
        writer.send((False, format_exc()))


def _memory_gb(line: str) -> float:
    found = re.search(rf"^{line}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024 / 1e9
