"""What the whole loop of a made-up system costs, and how that grows with its events."""

from __future__ import annotations

from collections.abc import Iterator
from math import log

from benchmarks.loop_load.measuring import Looped, loop
from ml_assets.bench import Measurement

SIZES = (10_000, 100_000, 1_000_000)
DAYS, QUICK_DAYS = 365, 72
QUICK_SIZES = (2_000, 6_000)

LONGEST_S = 600.0
LARGEST_MB = 4_000.0
STEEPEST = 1.15


def measure(*, quick: bool) -> Iterator[Measurement]:
    """From a year of events in an archive to a deployed model and 30 replayed days; quick, of
    72 days with six replayed.

    The goals are stated for a million events; a smaller loop must meet them all the more.
    """
    found: list[Looped] = []
    for events in QUICK_SIZES if quick else SIZES:
        looped = loop(events, QUICK_DAYS if quick else DAYS)
        found.append(looped)
        yield from _costs(looped)
    small, large = found[-2:]
    exponent = log(large.cpu_s / small.cpu_s) / log(large.events / small.events)
    yield Measurement(
        bench=f"loop: CPU as events ** k from {small.events:,} to {large.events:,}", ours=exponent,
        peer=None, unit="(k)", ratio=None, goal=f"under {STEEPEST}", met=exponent < STEEPEST,
        equal=None,
    )


def _costs(looped: Looped) -> Iterator[Measurement]:
    name = f"loop: {looped.events:,} events"
    yield Measurement(
        bench=name, ours=looped.cpu_s / 2, peer=None, unit="s on two cores", ratio=None,
        goal=f"under {LONGEST_S:g} s", met=looped.cpu_s / 2 < LONGEST_S, equal=looped.sound,
        note=f"{looped.cpu_s:.0f} CPU s, {looped.events / looped.cpu_s:,.0f} events a CPU second, "
             f"{looped.wall_s:.0f} s by the clock",
    )
    yield Measurement(
        bench=f"{name}, peak memory of all processes", ours=looped.peak_mb, peer=None, unit="MB",
        ratio=None, goal=f"under {LARGEST_MB:,.0f} MB", met=looped.peak_mb < LARGEST_MB, equal=None,
    )
