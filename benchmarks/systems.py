"""How well the reference systems predict, beside what is published and beside peers on the same
rows.

A system's figures are measured by the module of its name in `systems_load/`, along the product's
own path: its source, its features, its declared model.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from benchmarks import systems_load
from ml_assets.bench import Measurement
from ml_assets.core.errors import unknown
from ml_assets.systems import REFERENCE


def measured() -> tuple[str, ...]:
    """The systems that have figures here, in the order in which they are declared."""
    there = {each.name for each in iter_modules(systems_load.__path__)}
    return tuple(name for name in REFERENCE if name in there)


def measure(*, quick: bool, systems: str | None = None) -> Iterator[Measurement]:
    """One system after the other.

    systems: comma-separated, all unless given. Raises UnknownName for one without figures.
    """
    wanted = measured() if systems is None else tuple(systems.split(","))
    for name in wanted:
        if name not in measured():
            raise unknown("system with a benchmark", name, measured())
    for name in wanted:
        yield from import_module(f"{systems_load.__name__}.{name}").measure(quick=quick)
