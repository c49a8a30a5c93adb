"""How often nominal 95% intervals hold the truth, metric by metric: simulated samples."""

from __future__ import annotations

from collections.abc import Iterator
from time import process_time

from benchmarks.judgement_load.samples import CELLS, Cell, covered
from ml_assets.bench import Measurement

LEAST, MOST_MISSED = 0.93, 0.07
"""An interval that is hardly ever given is held to the second alone: a share of few is no share."""


def measure(*, quick: bool) -> Iterator[Measurement]:
    """A line for each cell; quick: every third one."""
    for cell in CELLS[::3] if quick else CELLS:
        yield _of(cell, 200 if quick else 3_000)


def _of(cell: Cell, samples: int) -> Measurement:
    began = process_time()
    found = covered(cell, samples, cell.truth())
    # So many standard deviations a share of 95% may seem lower.
    slack = 3 * (0.05 * 0.95 / samples) ** 0.5
    often = [name for name in found.given if found.given[name] >= 0.1 * samples]
    worst = min((found.share(name) for name in often), default=1.0)
    missed = max((found.missed(name) for name in found.given), default=0.0)
    told = ", ".join(
        f"{name} {found.share(name):.3f}" + (
            "" if found.given[name] == samples else f" (given {found.given[name] / samples:.2f})")
        for name in found.given)
    return Measurement(
        bench=f"intervals: {cell.name}, {samples:,} samples", ours=100 * worst, peer=None, unit="%",
        ratio=None, goal="hold the truth in at least 93% of samples, or are not given",
        met=worst >= LEAST - slack and missed <= MOST_MISSED + slack, equal=None,
        note=f"{told}; {process_time() - began:.0f} CPU s")
