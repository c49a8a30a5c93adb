"""A year of forecasts with the features of their time, along the product's own path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import numpy.typing as npt
import pandas as pd

from ml_assets import systems
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import midnight
from ml_assets.definitions import definitions
from ml_assets.features.training_sets.stored import TrainingSet
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.replay.runs import Runs
from ml_assets.replay.together.company import members

OVER = date(2018, 1, 3)
"""All weeks are booked by then."""
FIRST_TESTED = 41
"""The week that begins on 2 October; those of before are trained on."""
FIRST_VALIDATED = 32
"""Of the weeks before the test, on which values were chosen."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Year:
    """sold: (N, W) of N commodities in W weeks; weeks: (W); built: the training set;
    rows: its rows, with features"""

    sold: Floats
    commodities: list[str]
    weeks: list[int]
    built: TrainingSet
    rows: pd.DataFrame

    @property
    def scale(self) -> Floats:
        """(N,) the mean error of last week's sales as the forecast, in the weeks before the test;
        NaN of a commodity that had not sold at all by then.
        """
        before = self.sold[:, : self.weeks.index(FIRST_TESTED)]
        size: Floats = np.abs(np.diff(before, axis=1)).mean(axis=1)
        return np.where(size > 0, size, np.nan)


@contextmanager
def all_history() -> Iterator[System]:
    """In the block nothing is live yet: all recorded days are history."""
    before = systems.SYSTEMS
    systems.SYSTEMS = tuple(replace(each, calendar=replace(
        each.calendar, go_live=OVER, last_day=OVER + timedelta(days=7))) for each in before
        if each.calendar.go_live <= OVER)
    try:
        yield systems.find("trends")
    finally:
        systems.SYSTEMS = before


def year(folder: Path) -> Year:
    """Ingest, load and join everything, in an installation of its own."""
    settings = Settings(var=folder)
    with all_history() as system, dg.DagsterInstance.ephemeral() as instance:
        for member in members(settings, [system]):
            Runs(system=member.system, settings=settings, instance=instance,
                 definitions=definitions(settings, [member.system])).history(
                     OVER, lent=not member.asks)
        built = TrainingSets(settings, system).build(midnight(OVER))
    rows = week_of(built.rows)
    sold = rows.pivot(index="commodity", columns="week", values="label")
    early = rows.pivot(index="commodity", columns="week", values="sold_1w")[min(sold.columns)]
    weeks = [int(week) for week in sold.columns]
    return Year(sold=np.column_stack([early, sold]), commodities=list(map(str, sold.index)),
                weeks=[weeks[0] - 1, *weeks], built=built, rows=built.rows)


def week_of(rows: pd.DataFrame) -> pd.DataFrame:
    """With the week of the data that each forecast is of."""
    begun = pd.Timestamp("2017-01-02", tz="UTC")
    return rows.assign(week=(rows["event_timestamp"] - begun).dt.days // 7 + 2)
