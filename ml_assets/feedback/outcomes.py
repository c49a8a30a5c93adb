"""Outcomes: what was predicted beside what turned out to be true."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ml_assets.ingest.identity import merge_exactly
from ml_assets.ingest.tables import OUTCOMES

BASES = ("feedback", "silence", "archive")


def join_outcomes(predictions: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """One row for each label of an event that was predicted, in the columns of OUTCOMES.

    predictions: rows of `tables.PREDICTIONS` (at least the columns that OUTCOMES shares),
                 one for each event
    labels:      rows of `tables.LABELS`; several for an event are corrections
    Returned in the order of `known_at`. Labels of recorded history, of events that were never
    predicted, are left out, also where a prediction is about another event with the same id. The
    event's instant is the prediction's.
    """
    shared = [name for name in OUTCOMES.names if name in predictions.columns]
    served = labels.loc[labels["basis"] != "archive", ["event_id", "known_at", "label", "basis"]]
    joined = merge_exactly(served, predictions[shared], on=["event_id"], one=True)
    ordered = joined.sort_values(["known_at", "event_id"], kind="stable", ignore_index=True)
    return ordered[list(OUTCOMES.names)]


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How right the decisions were, by what is known of them now.

    judged: predictions with a label; accuracy: the share of these whose decision was it, NaN
    where there are none; false_positives: decided True but False; false_negatives: the reverse.
    """

    judged: int
    accuracy: float
    false_positives: int
    false_negatives: int


def quality(outcomes: pd.DataFrame) -> Quality:
    """The quality of the decisions in `outcomes` (rows of OUTCOMES); the latest label counts."""
    latest = outcomes.sort_values("known_at", kind="stable").drop_duplicates(
        "prediction_id", keep="last"
    )
    decided, label = latest["decision"].astype(bool), latest["label"].astype(bool)
    return Quality(
        judged=len(latest),
        accuracy=float((decided == label).mean()) if len(latest) else float("nan"),
        false_positives=int((decided & ~label).sum()),
        false_negatives=int((~decided & label).sum()),
    )


def count_by_basis(outcomes: pd.DataFrame) -> dict[str, int]:
    """How many outcomes rest on which basis; every basis is named."""
    found = outcomes["basis"].value_counts()
    return {basis: int(found.get(basis, 0)) for basis in BASES}
