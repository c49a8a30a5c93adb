"""An independent proof that a training set's features know nothing of their event's future."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml_assets.features.daily_history import at_rest, values_at
from ml_assets.features.history_inputs import HistoryInputs
from ml_assets.features.manifest import View


def leaking_rows(
    rows: pd.DataFrame, views: Sequence[View], inputs: HistoryInputs
) -> npt.NDArray[np.bool_]:
    """Which rows (n) have a feature that the past alone does not give.

    rows:   event_timestamp, the entity keys and features of `views`
    inputs: all events and labels, also later ones

    Neither Feast nor the stored histories are asked: each value is computed again from the
    events and labels before the row's midnight, and compared bit by bit. An entity that has
    nothing in its windows is either unknown (all NaN) or at rest.
    """
    wrong = np.zeros(len(rows), dtype=bool)
    if rows.empty:
        return wrong
    midnights = rows["event_timestamp"].dt.floor("D")
    instants = [at.to_pydatetime() for at in sorted(midnights.unique())]
    for view in views:
        names = list(view.features)
        past = values_at(
            inputs.events, inputs.labels, key=view.key, aggregates=view.aggregates,
            instants=instants,
        ).to_pandas()
        spine = pd.DataFrame({view.key: rows[view.key].to_numpy(), "event_timestamp": midnights})
        expected = spine.merge(past, on=[view.key, "event_timestamp"], how="left")[names]
        truth = expected.to_numpy(dtype=np.float32)
        found = rows[names].to_numpy(dtype=np.float32)
        rest = np.array([at_rest(each) for each in view.aggregates], dtype=np.float32)
        empty = np.isnan(truth).all(axis=1)
        idle = np.isnan(found).all(axis=1) | (found == rest).all(axis=1)
        wrong |= np.where(empty, ~idle, (found != truth).any(axis=1))
    return wrong
