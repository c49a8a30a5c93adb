"""When an outcome becomes a label: explicit ones on arrival, silence once matured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import pandas as pd

from ml_assets.core.policies import LabelPolicy
from ml_assets.ingest.event_log import Feedback, Prediction
from ml_assets.ingest.tables import LABELS


def labels_known_in(
    policy: LabelPolicy,
    *,
    start: datetime,
    end: datetime,
    archived: pd.DataFrame,
    predictions: Iterable[Prediction],
    feedback: Iterable[Feedback],
) -> pd.DataFrame:
    """The labels that became known in `[start, end)`, in the columns of `tables.LABELS`.

    archived:    rows of `tables.RAW`; an outcome counts `maturity` after its event
    predictions: what was served before `end`, from `maturity` before `start` at the latest
    feedback:    all that was received before `end` for these predictions, in that order

    Feedback counts from the instant it was received, also after silence has spoken: it is
    then a correction. Silence speaks `maturity` after a prediction that drew no feedback.
    """
    served = {prediction.prediction_id: prediction for prediction in predictions}
    rows: list[tuple[str, datetime, datetime, bool, str]] = []
    decided = archived.dropna(subset=["outcome"])
    for event_id, happened, outcome in zip(
        decided["event_id"], decided["event_timestamp"], decided["outcome"], strict=True
    ):
        known_at = happened + policy.maturity
        if start <= known_at < end:
            rows.append((event_id, happened, known_at, bool(outcome), "archive"))

    first_word: dict[str, datetime] = {}
    for said in feedback:
        prediction = served[said.prediction_id]
        repeated = said.prediction_id in first_word
        first_word.setdefault(said.prediction_id, said.received_at)
        if start <= said.received_at < end and not (repeated and policy.conflict == "first"):
            rows.append((prediction.event_id, prediction.event_timestamp, said.received_at,
                         said.label, "feedback"))

    if policy.silence != "unlabelled":
        for prediction in served.values():
            known_at = prediction.accepted_at + policy.maturity
            heard = first_word.get(prediction.prediction_id)
            if start <= known_at < end and (heard is None or heard > known_at):
                label = policy.silence == "decision_stands" and prediction.decision
                rows.append((prediction.event_id, prediction.event_timestamp, known_at, label,
                             "silence"))

    known = pd.DataFrame(rows, columns=LABELS.names)
    return known.sort_values(["known_at", "event_id"], kind="stable", ignore_index=True)


def with_keys(
    labels: pd.DataFrame, events: pd.DataFrame, keys: Sequence[str]
) -> pd.DataFrame:
    """The labels with ids and with their events' entity keys, as `tables.labels_schema`.

    labels: rows of `tables.LABELS`; events: event_id and `keys`, at least; keys are null where
    it lacks the event
    """
    known = events.drop_duplicates("event_id")[["event_id", *keys]]
    named = [
        f"{event_id} {known_at.isoformat()} {label}"
        for event_id, known_at, label in zip(
            labels["event_id"], labels["known_at"], labels["label"], strict=True)
    ]
    return labels.assign(label_id=pd.Series(named, dtype=object)).merge(
        known, on="event_id", how="left")


def latest_labels(labels: pd.DataFrame, as_of: datetime) -> pd.DataFrame:
    """One row for each event: what was last known of it strictly before `as_of`.

    An event stays counted once it has a label; a later label replaces an earlier one.
    """
    known = labels[labels["known_at"] < as_of]
    ordered = known.sort_values("known_at", kind="stable")
    return ordered.drop_duplicates("event_id", keep="last").sort_values(
        ["event_timestamp", "event_id"], ignore_index=True
    )
