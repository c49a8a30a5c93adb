"""Half load for a long time: memory and latency must stay where they are."""

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
"""Intervals that a soak is cut into, at least a second each."""
FILLING = 1 / 15
"""Before the soak, as a share of its time: four minutes before an hour."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One interval: when it ended, resident memory of the server's tree then, its latencies."""

    at_s: float
    resident_mb: float
    p50_ms: float
    p99_ms: float
    rate: float


@dataclass(frozen=True, kw_only=True)
class Soak:
    """Growth is that of the median from the second quarter of the time to the last.

    In the first quarter caches fill; what grows after it goes on growing.
    """

    rate_asked: float
    points: tuple[Point, ...]
    outcome: Outcome

    @property
    def memory_growth(self) -> float:
        """As a share: 0.01 is one per cent."""
        return _growth([point.resident_mb for point in self.points])

    @property
    def latency_growth(self) -> float:
        """Of the median latency, as a share."""
        return _growth([point.p50_ms for point in self.points])


def soak(made: Installation, *, minutes: float) -> Soak:
    """Our server at half of what it can do for so many minutes.

    With fifty times as many entities as the short runs: in an hour, too, each has tens of events.
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
        points: list[Point] = []
        with loading(plan) as load, progressbar(
            load.reports(), label="soak", length=int(minutes * 60 / every_s) + 1, file=sys.stderr
        ) as reports:
            for report in reports:
                points.append(_point(report, server.pid, (len(points) + 1) * every_s))
        points.pop()  # the last report is the whole run's
    return Soak(rate_asked=rate, points=tuple(points), outcome=report)


def _point(report: Outcome, server: int, at_s: float) -> Point:
    return Point(
        at_s=at_s, rate=report.rate, resident_mb=process_tree.resident_mb(server),
        p50_ms=report.latencies.quantile_ms(0.5), p99_ms=report.latencies.quantile_ms(0.99),
    )


def plot(found: Soak, path: Path) -> None:
    """Memory and latency over time, as a PNG."""
    from matplotlib.figure import Figure

    minutes = [point.at_s / 60 for point in found.points]
    figure = Figure(figsize=(8, 5), layout="constrained")
    memory, latency = figure.subplots(2, 1, sharex=True)
    memory.plot(minutes, [point.resident_mb for point in found.points])
    memory.set(ylabel="resident MB", ylim=(0, None),
               title=f"{found.rate_asked:.0f} requests/s, half of saturation")
    latency.plot(minutes, [point.p50_ms for point in found.points], label="p50")
    latency.plot(minutes, [point.p99_ms for point in found.points], label="p99")
    latency.set(ylabel="ms from the intended send", xlabel="minutes", yscale="log")
    latency.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


def _growth(values: list[float]) -> float:
    quarter = len(values) // 4
    if not quarter:
        return float("nan")
    before = median(values[quarter : 2 * quarter])
    return median(values[-quarter:]) / before - 1
