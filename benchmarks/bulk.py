"""Training sets of many rows: whether memory stays bounded, and time in step with the rows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from tempfile import TemporaryDirectory, TemporaryFile

from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn

from ml_assets.bench import Measurement
from ml_assets.core.errors import MlAssetsError
from ml_assets.core.settings import ROOT

QUICK, FULL = (20_000, 100_000), (100_000, 1_000_000, 10_000_000)
IN_MEMORY = 1_000_000
"""Up to so many rows the set is also built as it was before: ten times as many take 10 GB."""
MEMORY_MB, STEEPER = 3_000.0, 1.5


class StageFailed(MlAssetsError, RuntimeError):
    """A measured process ended badly; the message ends with what it said."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What a stage came to and took; see `bulk_load.building`."""

    said: str
    cpu_s: float
    wall_s: float
    peak_mb: float


def measure(*, quick: bool, rows: int | None = None) -> Iterator[Measurement]:
    """Payments of the fraud system's simulator, from a lake with events and labels.

    rows: about so many payments, instead of one size after the other
    """
    before: tuple[int, float] | None = None
    for size in (QUICK if quick else FULL) if rows is None else (rows,):
        with TemporaryDirectory(prefix="ml-assets-bench-") as folder:
            run = partial(_stage, folder=folder, rows=size)
            count = int(run("lake").said)
            ours = run("ours")
            peer = run("before") if size <= IN_MEMORY else None
            yield _built(count, ours, peer)
            examined = run("examined")
        yield _line(f"{count:,} rows examined, peak memory", examined.peak_mb,
                    note=f"{examined.said}; {examined.cpu_s:.0f} CPU s")
        if before is not None:
            yield _slope(before, (count, ours.cpu_s))
        before = count, ours.cpu_s


def _built(count: int, ours: Stage, peer: Stage | None) -> Measurement:
    beside = "" if peer is None else f", before {peer.cpu_s:.0f}"
    return _line(
        f"{count:,} rows built, peak memory", ours.peak_mb,
        peer=None if peer is None else peer.peak_mb,
        equal=None if peer is None else ours.said == peer.said,
        note=f"{ours.cpu_s:.0f} CPU s{beside}; {count / ours.cpu_s:,.0f} rows a CPU second")


def _line(
    name: str, ours: float, *, peer: float | None = None, equal: bool | None = None, note: str
) -> Measurement:
    return Measurement(
        bench=f"bulk: {name}", ours=ours, peer=peer, unit="MB",
        ratio=None if peer is None else peer / ours, goal=f"under {MEMORY_MB:,.0f} MB",
        met=ours < MEMORY_MB and equal is not False, equal=equal, note=note)


def _slope(fewer: tuple[int, float], more: tuple[int, float]) -> Measurement:
    steeper = (more[1] / more[0]) / (fewer[1] / fewer[0])
    return Measurement(
        bench=f"bulk: CPU a row at {more[0]:,} rows, by that at {fewer[0]:,}", ours=steeper,
        peer=None, unit="times", ratio=None, goal=f"at most {STEEPER}", met=steeper <= STEEPER,
        equal=None)


def _stage(name: str, *, folder: str, rows: int) -> Stage:
    """Shows on a terminal how far it is. Raises StageFailed."""
    last = ""
    with (
        Progress(*Progress.get_default_columns(), TimeElapsedColumn(), transient=True,
                 console=Console(stderr=True)) as bar,
        TemporaryFile("w+") as said,
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.bulk_load.building", name, folder, str(rows)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):
        task = bar.add_task(f"{name}, {rows:,} rows", total=None)
        assert process.stdout is not None
        for line in process.stdout:
            last = line
            if line.startswith('{"what"'):
                told = json.loads(line)
                bar.update(task, description=f"{name}: {told['what']}", completed=told["done"],
                           total=told["of"])
        if process.wait() != 0:
            said.seek(0)
            raise StageFailed(f"the stage {name!r} ended with status {process.returncode}:\n"
                              f"{said.read()[-2000:]}")
    return Stage(**json.loads(last))
