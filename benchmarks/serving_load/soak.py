"""Half load for a long time: memory and latency must stay flat."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from click import progressbar

from benchmarks.serving_load import ours, process_tree
from benchmarks.serving_load.installation import Installation
from benchmarks.serving_load.load import loading, run_load
from benchmarks.serving_load.plan import Outcome
from benchmarks.serving_load.traffic import ENTITIES

POINTS = 120
"""Intervals into which a soak is divided, at least a second each."""
FILLING = 1 / 15
"""Before the soak, as a share of its time: four minutes before an hour."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One interval: when it ended, memory of the server's tree then, its latencies.

    private_mb: what must stay flat; resident_mb has the pages of the mapped store too, which grow
    with it until the kernel wants them back
    server_us, generator_us: CPU that each of them used per request. The generator does the same
    work for each: if its figure grows, the machine has become slower.
    """

    at_s: float
    private_mb: float
    resident_mb: float
    p50_ms: float
    p99_ms: float
    rate: float
    server_us: float
    generator_us: float


@dataclass(frozen=True, kw_only=True)
class Soak:
    """Growth is that of the median from the second quarter of the time to the last.

    In the first quarter caches fill; what still grows afterwards keeps growing.
    """

    rate_asked: float
    points: tuple[Point, ...]
    outcome: Outcome

    @property
    def memory_growth(self) -> float:
        """Of private memory, as a share: 0.01 is one per cent."""
        return _growth([point.private_mb for point in self.points])

    @property
    def latency_growth(self) -> float:
        """Of the median latency, as a share."""
        return _growth([point.p50_ms for point in self.points])

    @property
    def cpu_growth(self) -> float:
        """Of the server's CPU per request, as a share."""
        return _growth([point.server_us for point in self.points])

    @property
    def control_growth(self) -> float:
        """Of the generator's CPU per request, as a share: how much slower the machine became."""
        return _growth([point.generator_us for point in self.points])


def soak(made: Installation, *, minutes: float) -> Soak:
    """Our server at half of what it can do, for a number of minutes.

    With fifty times as many entities as the short runs, so each has tens of events even in an hour.
    What it can do is measured with as many, once most of them are in the store: `FILLING` of the
    time is at saturation, and its second half counts.
    """
    with ours.serving(made, "soaked") as server:
        many = {name: 50 * count for name, count in ENTITIES.items()}
        filling_s = max(4.0, minutes * 60 * FILLING)
        rate = run_load(ours.plan(
            made, server, "filling-", warm_s=filling_s / 2, measured_s=filling_s / 2, entities=many
        )).rate / 2
        every_s = max(1.0, minutes * 60 / POINTS)
        plan = ours.plan(
            made, server, "soak-", rate=rate, measured_s=minutes * 60, warm_s=1, every_s=every_s,
            entities=many,
        )
        with loading(plan) as load, progressbar(
            load.reports(), label="soak", length=int(minutes * 60 / every_s) + 1, file=sys.stderr
        ) as reports:
            watch = _Watch(server.pid, load.pid, every_s)
            for report in reports:
                watch.note(report)
        # The last report is the whole run's.
        return Soak(rate_asked=rate, points=tuple(watch.points[:-1]), outcome=report)


class _Watch:
    """Looks at the server and the generator at the end of each interval."""

    def __init__(self, server: int, generator: int, every_s: float) -> None:
        self.points: list[Point] = []
        self._every_s, self._processes = every_s, (server, generator)
        self._before_s = self._cpu_s()

    def note(self, report: Outcome) -> None:
        now_s = self._cpu_s()
        server_us, generator_us = (
            (now - before) / max(1, report.answered) * 1e6
            for now, before in zip(now_s, self._before_s, strict=True)
        )
        self._before_s = now_s
        self.points.append(Point(
            at_s=(len(self.points) + 1) * self._every_s, rate=report.rate,
            private_mb=process_tree.private_mb(self._processes[0]),
            resident_mb=process_tree.resident_mb(self._processes[0]),
            p50_ms=report.latencies.quantile_ms(0.5), p99_ms=report.latencies.quantile_ms(0.99),
            server_us=server_us, generator_us=generator_us,
        ))

    def _cpu_s(self) -> list[float]:
        return [process_tree.cpu_seconds(process) for process in self._processes]


def plot(found: Soak, path: Path) -> None:
    """Memory, latency and CPU per request over time, as a PNG."""
    from matplotlib.figure import Figure

    minutes = [point.at_s / 60 for point in found.points]
    figure = Figure(figsize=(8, 7), layout="constrained")
    memory, latency, cpu = figure.subplots(3, 1, sharex=True)
    memory.plot(minutes, [point.private_mb for point in found.points], label="private")
    memory.plot(minutes, [point.resident_mb for point in found.points],
                label="resident, with pages of the mapped store")
    memory.legend()
    memory.set(ylabel="MB", ylim=(0, None),
               title=f"{found.rate_asked:.0f} requests/s, half of saturation")
    latency.plot(minutes, [point.p50_ms for point in found.points], label="p50")
    latency.plot(minutes, [point.p99_ms for point in found.points], label="p99")
    latency.set(ylabel="ms from the intended send", yscale="log")
    latency.legend()
    cpu.plot(minutes, [point.server_us for point in found.points], label="server")
    cpu.plot(minutes, [point.generator_us for point in found.points],
             label="generator: the same work for each request")
    cpu.set(ylabel="CPU us a request", xlabel="minutes", ylim=(0, None))
    cpu.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


def _growth(values: list[float]) -> float:
    quarter = len(values) // 4
    if not quarter:
        return float("nan")
    before = median(values[quarter : 2 * quarter])
    return median(values[-quarter:]) / before - 1
