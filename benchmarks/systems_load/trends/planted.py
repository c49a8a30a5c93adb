"""A year in which demand begins to move: from a week on what was sold, times a trend."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.systems_load.trends.rows import Year, week_of
from ml_assets.core.target import Bools
from ml_assets.systems.trends.compared import GIVES, compared

WINDOWS = (1, 2, 3, 4, 8, 13)


def planted(year: Year, since: int, growth: float, chosen: Bools) -> Year:
    """From the week `since` on the sales of the chosen commodities (N,) are multiplied, by `growth`
    more each week.

    Labels, windows and comparisons follow; what households bought, by the shop's view, stays.
    """
    after = np.maximum(0, np.array(year.weeks) - since + 1)
    sold = np.where(chosen[:, None], year.sold * growth**after, year.sold)
    rows = week_of(year.rows).reset_index(drop=True)
    at = {name: place for place, name in enumerate(year.commodities)}
    who = rows["commodity"].map(at).to_numpy()
    week = np.searchsorted(year.weeks, rows["week"])
    rows["label"] = sold[who, week]
    names = [*(f"sold_{count}w" for count in WINDOWS), "sold_std_8w"]
    rows = rows.astype(dict.fromkeys(names, np.float64))
    later = np.flatnonzero(rows["week"] > since)
    for count in WINDOWS:
        window = np.stack([sold[who[later], week[later] - back] for back in range(1, count + 1)])
        rows.loc[later, f"sold_{count}w"] = window.mean(axis=0)
        if count == 8:
            rows.loc[later, "sold_std_8w"] = window.std(axis=0)
    derived = compared({str(name): rows[name].to_numpy(np.float64) for name in rows
                        if rows[name].dtype.kind == "f"})
    rows[list(GIVES)] = np.stack([derived[name] for name in GIVES], axis=1)
    return replace(year, sold=sold, rows=rows.drop(columns="week"))
