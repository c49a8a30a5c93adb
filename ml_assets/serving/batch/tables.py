"""What was served, and what the deployed model says of events of a day, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml_assets.core.system import System
from ml_assets.ingest.identity import merge_exactly
from ml_assets.ingest.log.event_log import Prediction
from ml_assets.ingest.tables import PREDICTION_COLUMNS
from ml_assets.serving.models.scoring import Floats, Scorer, dense_vectors, listed, outputs_of

SAME = 1e-6
"""Scores of the same row are as near as this, whatever is scored beside it; those of numpy are
equal."""


def served_rows(predictions: Iterable[Prediction]) -> pd.DataFrame:
    """The log's predictions as rows of `tables.predictions_schema`."""
    rows = [
        (p.prediction_id, p.event_id, p.event_timestamp, p.accepted_at, p.features_as_of,
         p.features, list(p.feature_names), p.model_version, p.score, p.decision, p.degraded,
         p.role, p.propensity, p.state_seq, p.outputs or None, p.audit)
        for p in predictions
    ]
    return pd.DataFrame(rows, columns=PREDICTION_COLUMNS)


def score_events(
    system: System, scorer: Scorer, events: pd.DataFrame, features: Floats
) -> npt.NDArray[np.float64]:
    """Scores (n,) of n events with their store features (n, F), as the API computes them.

    The law: for the same event and the same features the API answered this score, within `SAME`.
    """
    rows = _rows(events)
    return system.target.score(outputs_of(scorer, rows, dense_vectors(system, rows, features)))


def batch_rows(
    system: System, scorer: Scorer, version: int, events: pd.DataFrame, features: Floats, *,
    at: datetime,
) -> pd.DataFrame:
    """The n events scored at the instant `at`, as rows of `batch_schema`; features (n, F)."""
    given = _rows(events)
    dense = dense_vectors(system, given, features)
    outputs, target = outputs_of(scorer, given, dense), system.target
    names = list(scorer.feature_names)
    rows = pd.DataFrame({
        "event_id": events["event_id"],
        "event_timestamp": events["event_timestamp"],
        "features": list(dense),
        "feature_names": [names for _ in given],
        "model_version": version,
        "score": target.score(outputs),
        "decision": [target.label_of(code) for code in target.decide(outputs).tolist()],
        "scored_at": at,
        "basis": "batch",
        "outputs": pd.Series([each or None for each in listed(outputs)], dtype=object),
    })
    if system.scores_by is not None:
        rows[system.scores_by] = events[system.scores_by]
    return rows


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How batch scores compare with those that the API gave for the same events.

    compared: answered by the same model version from the same features, bit by bit
    differing: of these, how many have another score
    """

    compared: int
    differing: int


def agreement(batch: pd.DataFrame, served: pd.DataFrame) -> Agreement:
    """Compare rows of `batch_schema` with rows of `tables.predictions_schema`."""
    both = merge_exactly(batch, served, on=["event_id", "model_version"], suffix="_served")
    same = [
        list(names) == list(names_served)
        and np.array_equal(np.asarray(values, np.float32), np.asarray(values_served, np.float32),
                           equal_nan=True)
        for names, names_served, values, values_served in zip(
            both["feature_names"], both["feature_names_served"], both["features"],
            both["features_served"], strict=True,
        )
    ]
    compared = both[np.array(same, dtype=bool)]
    mine, theirs = (compared[name].to_numpy(np.float64) for name in ("score", "score_served"))
    differing = int((~np.isclose(mine, theirs, rtol=SAME, atol=SAME)).sum())
    return Agreement(compared=len(compared), differing=differing)


def _rows(events: pd.DataFrame) -> Sequence[Mapping[str, object]]:
    return cast(list[dict[str, Any]], events.to_dict("records"))
