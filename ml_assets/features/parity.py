"""Parity: is every feature that was served the one that history gives, bit by bit?

Each prediction notes the position of the log that it read, so there is one state to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Vectors = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """What a comparison found; counts are predictions.

    checked:     those compared: served from the store with the features that are asked for
    unexplained: differ: a defect
    degraded:    not compared, because defaults were served on purpose
    other_features: not compared, because they were served with other features than today's
    without_position: not compared, because they were logged before positions were
    by_feature:  how many predictions differ in each feature, where any does
    compared, differing: prediction ids
    worst:       prediction_id, feature, served, recomputed; the largest difference first
    """

    checked: int
    unexplained: int
    degraded: int
    other_features: int
    without_position: int
    by_feature: Mapping[str, int]
    worst: pd.DataFrame
    compared: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()

    @property
    def exact(self) -> int:
        return self.checked - self.unexplained


def compare(
    predictions: pd.DataFrame,
    recomputed: Vectors,
    *,
    feature_names: Sequence[str],
    worst: int = 10,
) -> ParityReport:
    """Compare the vectors that were served with those recomputed at `features_as_of`.

    predictions:  (n rows) `tables.predictions_schema`
    recomputed:   (n, D) the same rows in the same order, columns `feature_names`

    NaN equals NaN, and zero differs from minus zero. Raises ValueError where the shapes of
    `recomputed` and `predictions` do not agree.
    """
    names = tuple(feature_names)
    if recomputed.shape != (len(predictions), len(names)):
        raise ValueError(f"recomputed is {recomputed.shape}; expected "
                         f"{(len(predictions), len(names))}: predictions by features")
    same = np.array([tuple(row) == names for row in predictions["feature_names"]], dtype=bool)
    degraded = predictions["degraded"].to_numpy(dtype=bool)
    placed = predictions["state_seq"].notna().to_numpy()
    chosen = np.flatnonzero(same & ~degraded & placed)
    served = np.array(
        [predictions["features"].iloc[row] for row in chosen], dtype=np.float32
    ).reshape(len(chosen), len(names))
    again = np.ascontiguousarray(recomputed[chosen], dtype=np.float32)
    differs = _differs(served, again)
    ids = predictions["prediction_id"].iloc[chosen].to_numpy()
    return ParityReport(
        checked=len(chosen),
        unexplained=int(differs.any(axis=1).sum()),
        degraded=int(degraded.sum()),
        other_features=int((~same & ~degraded).sum()),
        without_position=int((same & ~degraded & ~placed).sum()),
        by_feature={names[column]: int(count)
                    for column, count in enumerate(differs.sum(axis=0)) if count},
        worst=_worst(ids, names, served, again, differs, worst),
        compared=tuple(ids), differing=tuple(ids[differs.any(axis=1)]),
    )


def _differs(served: Vectors, again: Vectors) -> Bools:
    found: Bools = (served.view(np.uint32) != again.view(np.uint32)) & ~(
        np.isnan(served) & np.isnan(again)
    )
    return found


def _worst(
    ids: npt.NDArray[np.object_], names: Sequence[str], served: Vectors, again: Vectors,
    differs: Bools, count: int,
) -> pd.DataFrame:
    row, column = np.nonzero(differs)
    found = pd.DataFrame({
        "prediction_id": ids[row],
        "feature": np.array(names, dtype=object)[column],
        "served": served[row, column],
        "recomputed": again[row, column],
    })
    # A value on one side only is the largest difference there is.
    size = (found["served"] - found["recomputed"]).abs().fillna(np.inf)
    order = found.assign(size=-size).sort_values(
        ["size", "prediction_id", "feature"], kind="stable")
    return order.drop(columns="size").head(count).reset_index(drop=True)
