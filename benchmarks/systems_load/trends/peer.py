"""`python peer.py NAME ROWS.npz`: leave a peer's forecasts beside the rows. No ml_assets.

Of N commodities in T weeks: their expected sales and the ends of an interval of 90%, (3, N, T).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
LEVEL = 90


def ets(sold: Floats, tested: npt.NDArray[np.int64], **_: Any) -> Floats:
    """Exponential smoothing: of each commodity, for each week, by all weeks before it; the form
    that AICc prefers, without a season.

    sold: (N, W); tested: (T) places of weeks
    """
    from statsforecast.models import AutoETS  # type: ignore[import-not-found]

    found = np.empty((3, len(sold), len(tested)))
    for row, series in enumerate(sold):
        for place, week in enumerate(tested):
            said = AutoETS(season_length=1).forecast(y=series[:week], h=1, level=[LEVEL])
            names = ("mean", f"lo-{LEVEL}", f"hi-{LEVEL}")
            found[:, row, place] = [said[name][0] for name in names]
    return np.maximum(found, 0.0)


def lightgbm(
    dense: Floats, label: Floats, week: npt.NDArray[np.int64], who: npt.NDArray[np.int64],
    level: npt.NDArray[np.int64], sold: Floats, weeks: npt.NDArray[np.int64],
    frozen: npt.NDArray[np.bool_], **_: Any
) -> Floats:
    """Boosted trees over the features that our network reads, fitted to the logarithm of sales
    against the usual ones; three times, for the median and both ends.

    dense: (R, D) of R forecasts; level: which column the usual sales are; week, who: (R)
    weeks: (T) that are asked for, each by what was known a week before it began; frozen: by the
    model of the first of them
    """
    from lightgbm import LGBMRegressor  # type: ignore[import-not-found]

    usual = np.log1p(dense[:, int(level)])
    usual = np.where(np.isnan(usual), 0.0, usual)
    wanted = np.log1p(label) - usual
    found = np.empty((3, len(sold), len(weeks)))
    models: list[Any] = []
    for place, asked in enumerate(weeks):
        if not models or not frozen:
            seen = week <= asked - 2
            models = [
                LGBMRegressor(objective="quantile", alpha=alpha, n_estimators=ROUNDS,
                              learning_rate=RATE, num_leaves=LEAVES, min_child_samples=LEAST,
                              n_jobs=1, random_state=0, verbose=-1)
                .fit(dense[seen], wanted[seen]) for alpha in (0.5, 0.05, 0.95)]
        rows = np.flatnonzero(week == asked)
        for end, model in enumerate(models):
            said = np.expm1(model.predict(dense[rows]) + usual[rows])
            found[end, who[rows], place] = np.maximum(said, 0.0)
    return found


ROUNDS, RATE, LEAVES, LEAST = 100, 0.05, 7, 40
"""Chosen on the weeks before the test."""
PEERS = {"ets": ets, "lightgbm": lightgbm}


def main(name: str, path: Path) -> None:
    with np.load(path) as rows:
        np.save(path.with_suffix(".npy"), PEERS[name](**rows))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
