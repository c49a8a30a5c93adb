"""Parity: is every feature that was served the one that history gives, bit by bit?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml_assets.features.loads import Unsettled

READING = timedelta(seconds=5)
"""A prediction's features are read at most this long before or after it counts as accepted."""


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """What a comparison found; counts are predictions.

    checked:     those compared: served from the store with the features that are asked for
    unexplained: differ though the store stood still: a defect
    explained:   differ, but were served while the online store was being loaded
    degraded:    not compared, because defaults were served on purpose
    other_features: not compared, because they were served with other features than today's
    by_feature:  how many predictions differ in each feature, where any does
    worst:       prediction_id, feature, served, recomputed, explained; unexplained first,
                 then by the size of the difference
    """

    checked: int
    unexplained: int
    explained: int
    degraded: int
    other_features: int
    by_feature: Mapping[str, int]
    worst: pd.DataFrame

    @property
    def exact(self) -> int:
        return self.checked - self.unexplained - self.explained


def compare(
    predictions: pd.DataFrame,
    recomputed: npt.NDArray[np.float32],
    *,
    feature_names: Sequence[str],
    unsettled: Sequence[Unsettled] = (),
    worst: int = 10,
) -> ParityReport:
    """Compare the vectors that were served with those recomputed at `features_as_of`.

    predictions: (n rows) `tables.PREDICTIONS`
    recomputed:  (n, D) the same rows in the same order, columns `feature_names`
    unsettled:   when the store was being loaded, see `LoadLog.unsettled`

    NaN equals NaN, and zero differs from minus zero. Raises ValueError where the shapes of
    `recomputed` and `predictions` do not agree.
    """
    names = tuple(feature_names)
    if recomputed.shape != (len(predictions), len(names)):
        raise ValueError(f"recomputed is {recomputed.shape}; expected "
                         f"{(len(predictions), len(names))}: predictions by features")
    same = np.array([tuple(row) == names for row in predictions["feature_names"]], dtype=bool)
    degraded = predictions["degraded"].to_numpy(dtype=bool)
    chosen = np.flatnonzero(same & ~degraded)
    served = np.array(
        [predictions["features"].iloc[row] for row in chosen], dtype=np.float32
    ).reshape(len(chosen), len(names))
    again = np.ascontiguousarray(recomputed[chosen], dtype=np.float32)
    differs = (served.view(np.uint32) != again.view(np.uint32)) & ~(
        np.isnan(served) & np.isnan(again)
    )
    rows = predictions.iloc[chosen]
    loading = _within(rows["accepted_at"], unsettled)
    wrong = differs.any(axis=1)
    ids = rows["prediction_id"].to_numpy()
    return ParityReport(
        checked=len(chosen),
        unexplained=int((wrong & ~loading).sum()),
        explained=int((wrong & loading).sum()),
        degraded=int(degraded.sum()),
        other_features=int((~same & ~degraded).sum()),
        by_feature={names[column]: int(count)
                    for column, count in enumerate(differs.sum(axis=0)) if count},
        worst=_worst(ids, names, served, again, differs, loading, worst),
    )


def _within(
    instants: pd.Series[pd.Timestamp], unsettled: Sequence[Unsettled]
) -> npt.NDArray[np.bool_]:
    inside = np.zeros(len(instants), dtype=bool)
    for stretch in unsettled:
        begun = (instants >= stretch.started_at - READING).to_numpy()
        if stretch.finished_at is not None:
            begun &= (instants <= stretch.finished_at + READING).to_numpy()
        inside |= begun
    return inside


def _worst(
    ids: npt.NDArray[np.object_], names: Sequence[str], served: npt.NDArray[np.float32],
    again: npt.NDArray[np.float32], differs: npt.NDArray[np.bool_],
    loading: npt.NDArray[np.bool_], count: int,
) -> pd.DataFrame:
    row, column = np.nonzero(differs)
    found = pd.DataFrame({
        "prediction_id": ids[row],
        "feature": np.array(names, dtype=object)[column],
        "served": served[row, column],
        "recomputed": again[row, column],
        "explained": loading[row],
    })
    # A value on one side only is the largest difference there is.
    size = (found["served"] - found["recomputed"]).abs().fillna(np.inf)
    order = found.assign(size=-size).sort_values(
        ["explained", "size", "prediction_id", "feature"], kind="stable")
    return order.drop(columns="size").head(count).reset_index(drop=True)
