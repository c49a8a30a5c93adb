"""What every benchmark reports, and how it is shown."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import click

from ml_assets.core.errors import NotReady


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One line: our figure beside a peer's (None if the goal is an absolute figure).

    ratio: peer / ours, so more is better; None if it is meaningless. goal: in words. equal:
    whether both gave the same results; None if there is nothing to compare. note: the load and
    other conditions, for people; `bench` does not depend on the results. not_measured: why there
    are no figures; the goal is then neither met nor missed.
    """

    bench: str
    ours: float
    peer: float | None
    unit: str
    ratio: float | None
    goal: str
    met: bool
    equal: bool | None
    note: str = ""
    not_measured: str | None = None


def require_checkout() -> None:
    """Raise NotReady if the package was installed without the `benchmarks` folder beside it."""
    from ml_assets.core.settings import ROOT

    if not (ROOT / "benchmarks").is_dir():
        raise NotReady("benchmarks need the project's checkout: clone it and run `make bench`")


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does: servers are stopped and scratch folders removed."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def show(measurements: Iterable[Measurement], *, as_json: bool) -> int:
    """Print them as they arrive; return 0 if all goals are met, otherwise 1."""
    failed = 0
    for measurement in measurements:
        failed += not measurement.met and measurement.not_measured is None
        click.echo(_json(measurement) if as_json else "\n".join(_lines(measurement)))
    return min(failed, 1)


def _json(measurement: Measurement) -> str:
    import json
    from math import isfinite

    said = asdict(measurement)  # JSON has no NaN
    return json.dumps({name: None if isinstance(value, float) and not isfinite(value) else value
                       for name, value in said.items()})


def _lines(measurement: Measurement) -> Iterator[str]:
    if measurement.not_measured is not None:
        yield f"{measurement.bench}: not measured, {measurement.not_measured}"
        return
    verdict = "met" if measurement.met else "MISSED"
    yield f"{measurement.bench}: {measurement.ours:.3g} {measurement.unit}"
    if measurement.peer is not None:
        ratio = "" if measurement.ratio is None else f", ratio {measurement.ratio:.3g}"
        yield f"  peer {measurement.peer:.3g} {measurement.unit}{ratio}"
    yield f"  goal {measurement.goal}: {verdict}"
    if measurement.equal is not None:
        yield f"  same results: {'yes' if measurement.equal else 'NO'}"
    if measurement.note:
        yield f"  {measurement.note}"
