"""Parity: is every feature that was served the one that history gives, bit by bit?

A difference is explained only by proof: the bits that were served must be those that history
gives for a state in which the online store may have been at that moment, because an event was
still on its way or a load was under way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Vectors = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

Alternatives = Callable[[npt.NDArray[np.intp]], Sequence[Vectors]]
"""From k places in the predictions to vectors (k, D) that the store may have given instead."""


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """What a comparison found; counts are predictions.

    checked:     those compared: served from the store with the features that are asked for
    unexplained: differ, and no state of the store accounts for it: a defect
    explained:   differ, but are what a store gives that had not yet got an event or a load
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
    recomputed: Vectors,
    *,
    feature_names: Sequence[str],
    alternatives: Alternatives | None = None,
    views: Sequence[Sequence[str]] = (),
    worst: int = 10,
) -> ParityReport:
    """Compare the vectors that were served with those recomputed at `features_as_of`.

    predictions:  (n rows) `tables.PREDICTIONS`
    recomputed:   (n, D) the same rows in the same order, columns `feature_names`
    alternatives: asked only for predictions that differ
    views:        the features that are read together: all of them must agree with the same
                  alternative. A feature of no view has no explanation.

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
    differs = _differs(served, again)
    wrong = np.flatnonzero(differs.any(axis=1))
    explained = np.zeros_like(differs)
    if len(wrong) and alternatives is not None:
        groups = [np.array([names.index(name) for name in view], dtype=np.intp) for view in views]
        for other in alternatives(chosen[wrong]):
            agrees = ~_differs(served[wrong], np.ascontiguousarray(other, dtype=np.float32))
            for group in groups:
                accounted = wrong[agrees[:, group].all(axis=1)]
                explained[accounted[:, None], group] = True
    open_questions = (differs & ~explained).any(axis=1)
    ids = predictions["prediction_id"].iloc[chosen].to_numpy()
    return ParityReport(
        checked=len(chosen),
        unexplained=int(open_questions.sum()),
        explained=len(wrong) - int(open_questions.sum()),
        degraded=int(degraded.sum()),
        other_features=int((~same & ~degraded).sum()),
        by_feature={names[column]: int(count)
                    for column, count in enumerate(differs.sum(axis=0)) if count},
        worst=_worst(ids, names, served, again, differs, explained, worst),
    )


def _differs(served: Vectors, again: Vectors) -> Bools:
    found: Bools = (served.view(np.uint32) != again.view(np.uint32)) & ~(
        np.isnan(served) & np.isnan(again)
    )
    return found


def _worst(
    ids: npt.NDArray[np.object_], names: Sequence[str], served: Vectors, again: Vectors,
    differs: Bools, explained: Bools, count: int,
) -> pd.DataFrame:
    row, column = np.nonzero(differs)
    found = pd.DataFrame({
        "prediction_id": ids[row],
        "feature": np.array(names, dtype=object)[column],
        "served": served[row, column],
        "recomputed": again[row, column],
        "explained": explained[row, column],
    })
    # A value on one side only is the largest difference there is.
    size = (found["served"] - found["recomputed"]).abs().fillna(np.inf)
    order = found.assign(size=-size).sort_values(
        ["explained", "size", "prediction_id", "feature"], kind="stable")
    return order.drop(columns="size").head(count).reset_index(drop=True)
