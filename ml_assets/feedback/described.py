"""Outcomes with all that their events and predictions said: what a slice's condition may name."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml_assets.core.settings import Settings
from ml_assets.core.slates import position_of
from ml_assets.core.system import System
from ml_assets.core.time import DAY
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import events_schema, predictions_schema

SEEN = ["prediction_id", "accepted_at", "features", "feature_names"]


def described(system: System, settings: Settings, outcomes: pd.DataFrame) -> pd.DataFrame:
    """The same rows, in their order, with the columns of a training set; unknown values are null.

    outcomes: rows of `tables.outcomes_schema`, one for each prediction
    """
    lake, happened = Lake(settings.lake), outcomes["event_timestamp"]
    start, end = happened.min().date(), happened.max().date() + 2 * DAY
    seen = lake.read(system.name, "predictions", predictions_schema(system), start=start, end=end,
                     columns=SEEN).set_index("prediction_id")
    columns = [column.name for column in system.columns]
    events = lake.read(system.name, system.asked.table, events_schema(system), start=start, end=end,
                       columns=["event_id", "accepted_at", *columns])
    events = events[events["accepted_at"] >= system.calendar.live_from]
    events = events.drop_duplicates("event_id").set_index("event_id")
    table = outcomes.drop(columns=[name for name in columns if name in outcomes.columns])
    for name in columns:
        table[name] = events[name].reindex(outcomes["event_id"]).to_numpy()
    mine = seen.reindex(outcomes["prediction_id"])
    table["accepted_at"] = mine["accepted_at"].to_numpy()
    table["split"] = "live"
    if system.target.slates is not None:  # the propensity is an outcome's own
        table["position"] = [*map(position_of, outcomes["event_id"])]
    numbers = _features(mine)
    return pd.concat([table.reset_index(drop=True), numbers[
        [name for name in numbers.columns if name not in table.columns]]], axis=1)


def _features(seen: pd.DataFrame) -> pd.DataFrame:
    """What each prediction saw, a column for each feature."""
    alike: dict[tuple[str, ...], list[int]] = {}
    for index, names in enumerate(seen["feature_names"]):
        if hasattr(names, "__len__"):
            alike.setdefault(tuple(names), []).append(index)
    vectors: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
    values = seen["features"].to_numpy()
    for together, rows in alike.items():
        columns = np.stack(list(values[rows])).astype(np.float64).T
        for name, column in zip(together, columns, strict=True):
            vectors.setdefault(name, np.full(len(seen), np.nan))[rows] = column
    return pd.DataFrame(vectors, index=range(len(seen)))
