"""Exponential smoothing and boosted trees on the same rows, in an environment of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.environments import Environment
from benchmarks.systems_load.trends.ours import Forecasts
from benchmarks.systems_load.trends.rows import Year, week_of
from ml_assets.core.errors import MlAssetsError
from ml_assets.systems.trends.network import USUAL

FOLDER = Path(__file__).parent
FORECASTING = Environment(
    name="forecasting", requirements=FOLDER / "forecasting.txt", with_torch=False,
    made_by="ml-assets bench systems --systems trends")


class PeerForecastFailed(MlAssetsError, RuntimeError):
    """A peer's process ended badly; the message ends with what it said."""


def peer_forecast(
    name: str, year: Year, weeks: Sequence[int], *, frozen: bool, create: bool
) -> Forecasts:
    """Of each week; see `peer.py`. Raises NotInstalled, PeerForecastFailed."""
    python = FORECASTING.programs(create=create) / "python"
    rows = week_of(year.rows)
    place = {commodity: at for at, commodity in enumerate(year.commodities)}
    names = list(year.built.feature_names)
    with TemporaryDirectory(prefix="ml-assets-bench-") as folder:
        path = Path(folder) / "rows.npz"
        np.savez(
            path, sold=year.sold, tested=[year.weeks.index(week) for week in weeks],
            weeks=list(weeks), week=rows["week"], who=rows["commodity"].map(place),
            dense=rows[names].to_numpy(np.float64), label=rows["label"], frozen=frozen,
            level=names.index(USUAL))
        done = subprocess.run([str(python), str(FOLDER / "peer.py"), name, str(path)],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise PeerForecastFailed(f"{name} ended with status {done.returncode}:\n"
                                     f"{done.stderr[-2000:]}")
        value, lower, upper = np.load(path.with_suffix(".npy"))
    return Forecasts(value=value, lower=lower, upper=upper)
