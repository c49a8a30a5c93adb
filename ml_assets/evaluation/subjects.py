"""What the rows of a table are about, as far as their target asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.target import Target

if TYPE_CHECKING:
    import pandas as pd

PROPENSITY, HAPPENED = "propensity", "event_timestamp"


def subjects_of(target: Target, rows: pd.DataFrame) -> Subjects:
    """Of N rows with `event_id`, the target's entities, `propensity` and `event_timestamp`, as far
    as they have these.

    Without `event_id` nothing is known of them.
    """
    if "event_id" not in rows.columns:
        return Subjects.unknown(len(rows))
    return Subjects.of(
        rows["event_id"].tolist(),
        {name: rows[name].tolist() for name in target.entities if name in rows.columns},
        rows[PROPENSITY].to_numpy(np.float64) if PROPENSITY in rows.columns else None,
        instants_of(rows[HAPPENED]) if HAPPENED in rows.columns else None,
    )


def instants_of(column: pd.Series[pd.Timestamp]) -> npt.NDArray[np.datetime64]:
    """Aware instants in UTC, as numpy has them."""
    return column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="M8[us]")
