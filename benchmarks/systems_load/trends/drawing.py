"""Forecasts with their intervals over what was sold, before and after demand begins to move.

`python -m benchmarks.systems_load.trends.drawing PNG`
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.systems_load.trends import GROWTH, PLANTED, SHARE
from benchmarks.systems_load.trends.ours import Forecasts, forecast
from benchmarks.systems_load.trends.planted import planted
from benchmarks.systems_load.trends.rows import FIRST_TESTED, Year, year
from ml_assets.systems import find

SHOWN = 3
"""Commodities: those of the moved ones that sell most, one for each department."""
FROM = 30
COLORS = {"the frozen model": "#4c78a8", "retrained each week": "#e45756"}


def draw(
    recorded: Year, moved: Year, shown: Sequence[int], found: Mapping[str, Mapping[str, Forecasts]],
    path: Path,
) -> None:
    """A column as recorded and one with the trend; a row for each commodity.

    found: by name of the column and of the model, (N, T) from FIRST_TESTED on
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2.6 * len(shown)), dpi=80, layout="tight")
    axes = figure.subplots(len(shown), 2, squeeze=False, sharex=True)
    weeks = np.array([week for week in recorded.weeks if week >= FIRST_TESTED])
    for column, (title, of) in enumerate((
            ("as recorded", recorded), (f"{GROWTH - 1:.0%} more a week from {PLANTED} on", moved))):
        for row, place in enumerate(shown):
            here = axes[row, column]
            seen = [week for week in of.weeks if week >= FROM]
            here.plot(seen, of.sold[place, -len(seen):], color="black", lw=1.2, label="sold")
            for name, color in COLORS.items():
                said = found[title][name]
                here.plot(weeks, said.value[place], color=color, lw=1.2, label=name)
                here.fill_between(weeks, said.lower[place], said.upper[place], color=color,
                                  alpha=0.15, lw=0)
            if column:
                here.axvline(PLANTED, color="grey", lw=0.8, ls=":")
            here.set_title(f"{of.commodities[place]}, {title}", fontsize=9)
            here.set_ylabel("USD a week", fontsize=8)
            here.set_ylim(bottom=0)
            here.tick_params(labelsize=7)
            here.spines[["top", "right"]].set_visible(False)
            here.grid(alpha=0.25, linewidth=0.5)
    axes[0, 0].legend(fontsize=7, frameon=False)
    for here in axes[-1]:
        here.set_xlabel("week of 2017", fontsize=8)
    figure.savefig(path, pil_kwargs={"optimize": True})


def main(path: Path) -> None:
    system = find("trends")
    with TemporaryDirectory(prefix="ml_assets-trends-") as scratch:
        recorded = year(Path(scratch))
    chosen = np.random.default_rng(1).random(len(recorded.commodities)) < SHARE
    moved = planted(recorded, PLANTED, GROWTH, chosen)
    weeks = [week for week in recorded.weeks if week >= FIRST_TESTED]
    found = {
        title: {name: forecast(system, of, weeks, frozen=frozen)
                for name, frozen in zip(COLORS, (True, False), strict=True)}
        for title, of in (("as recorded", recorded),
                          (f"{GROWTH - 1:.0%} more a week from {PLANTED} on", moved))}
    draw(recorded, moved, largest(recorded, chosen), found, path)


def largest(of: Year, chosen: np.ndarray) -> list[int]:
    """The places of SHOWN chosen commodities, of different departments."""
    department = dict(zip(of.rows["commodity"], of.rows["department"], strict=True))
    found, seen = list[int](), set[str]()
    for place in np.argsort(-of.sold.mean(axis=1)).tolist():
        where = str(department[of.commodities[place]])
        if chosen[place] and where not in seen:
            found.append(place)
            seen.add(where)
    return found[:SHOWN]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
