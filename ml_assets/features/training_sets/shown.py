"""How the rows of slates were shown: at which position, and how probable that was."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from ml_assets.core.slates import OF_ROWS, position_of
from ml_assets.core.system import System
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import predictions_schema


def shown_fields(system: System) -> list[pa.Field]:
    """The columns that `shown` adds to a training set; none if the system answers no slates."""
    types = (pa.int64(), pa.float64())
    return [] if system.target.slates is None else [
        pa.field(name, kind) for name, kind in zip(OF_ROWS, types, strict=True)]


def shown(lake: Lake, system: System, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with `position` and `propensity`, see `core.slates.OF_ROWS`.

    rows: event_id and accepted_at, at least

    What the API has answered says how probable it was; of recorded history nobody knows.
    """
    live = rows["accepted_at"] >= system.calendar.live_from
    said = _propensities(lake, system, rows[live])
    return rows.assign(
        position=np.array([*map(position_of, rows["event_id"])], dtype=np.int64),
        propensity=rows["event_id"].map(said).where(live).astype("float64"))


def _propensities(lake: Lake, system: System, rows: pd.DataFrame) -> dict[str, float]:
    """By event id, of what was answered live; a day at a time."""
    wanted, schema = set(rows["event_id"]), predictions_schema(system)
    said: dict[str, float] = {}
    for day in sorted({at.date() for at in rows["accepted_at"]}):
        served = lake.read_days(system.name, "predictions", schema, [day],
                                columns=["event_id", "propensity"])
        said |= {event_id: propensity for event_id, propensity in zip(
            served["event_id"], served["propensity"], strict=True) if event_id in wanted}
    return said
