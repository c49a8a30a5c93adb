"""How our cost grows with the number of rows: a plot, and the growth over the last decade."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import log
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.feature_store import loading, offline, windowed
from benchmarks.feature_store.data import write_entities, write_events, write_history
from benchmarks.feature_store.goals import below
from benchmarks.feature_store.jobs import Outcome, median_of, run
from ml_assets.bench import Measurement
from ml_assets.core.settings import Settings

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
QUICK_SIZES = (10_000, 100_000)

STEEPEST = 1.2
"""n log n, which sorting costs, grows as n ** 1.06 from one million to ten; the rest is noise
and caches that rows outgrow."""

Costs = dict[int, float]
"""CPU seconds by number of rows."""


def measure(*, quick: bool) -> Iterator[Measurement]:
    yield from measure_sizes(
        QUICK_SIZES if quick else SIZES,
        Settings.from_environment().var / "benchmarks" / "features-growth.png",
    )


def measure_sizes(sizes: tuple[int, ...], plot: Path) -> Iterator[Measurement]:
    """The exponent k of `rows ** k` between the two largest sizes, per workload."""
    costs = {name: {rows: _cost(name, rows) for rows in sizes} for name in WORKS}
    draw(costs, plot)
    for name, found in costs.items():
        small, large = sizes[-2:]
        exponent = log(found[large] / found[small]) / log(large / small)
        yield below(
            f"growth: {name}, CPU as rows ** k from {small:,} to {large:,}", ours=exponent,
            limit=STEEPEST, unit="(k)",
        )


def as_of(folder: Path, rows: int, label: str) -> Outcome:
    """One view, and as many spine rows as the view has."""
    cell = offline.Cell(rows=rows, views=1, spine_rows=rows)
    run(
        f"{label}, data", write_history, path=folder / "view0.parquet", view=0, rows=rows,
        entities=cell.entities,
    )
    return median_of(1, label, offline.through_feast, folder=folder, engine="ours", cell=cell)


def windows(folder: Path, rows: int, label: str) -> Outcome:
    """Twelve aggregates of that many events, for a tenth as many spine rows."""
    run(f"{label}, data", write_events, path=folder / "events.parquet", rows=rows)
    return median_of(1, label, windowed.ours, folder=folder, events=rows, slides=windowed.SLIDES)


def load(folder: Path, rows: int, label: str) -> Outcome:
    """Load that many entities into the online store."""
    run(f"{label}, data", write_entities, path=folder / "view0.parquet", view=0, rows=rows)
    return median_of(1, label, loading.through_feast, folder=folder, engine="ours")


WORKS: dict[str, Callable[[Path, int, str], Outcome]] = {
    "as-of joins": as_of, "windowed aggregates": windows, "loading the online store": load,
}


def draw(costs: dict[str, Costs], path: Path) -> None:
    """CPU seconds by rows, both logarithmic; the dotted line is a proportional cost."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), dpi=100)
    axes = figure.add_subplot(xscale="log", yscale="log", xlabel="rows", ylabel="CPU seconds")
    for number, (name, found) in enumerate(costs.items()):
        rows, largest = list(found), max(found)
        axes.plot(rows, list(found.values()), marker="o", color=f"C{number}", label=name)
        in_proportion = [found[largest] * each / largest for each in rows]
        axes.plot(rows, in_proportion, linestyle=":", color=f"C{number}")
    axes.legend(title="dotted: in proportion to the rows")
    axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _cost(name: str, rows: int) -> float:
    with TemporaryDirectory(prefix="ml-assets-bench-") as folder:
        label = f"growth: {name}, {rows:,} rows"
        return WORKS[name](Path(folder), rows, label).cost.cpu_s
