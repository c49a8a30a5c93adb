"""When an outcome becomes a label: explicit ones on arrival, silence once matured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import pandas as pd

from ml_assets.core.feedback import FeedbackPolicy
from ml_assets.core.policies import LabelPolicy
from ml_assets.ingest.event_log import Feedback, Prediction
from ml_assets.ingest.resolution import LabelChange, first_words, resolve
from ml_assets.ingest.tables import LABELS


@dataclass(frozen=True, kw_only=True)
class Known:
    """From `known_at` on this was known of a prediction."""

    known_at: datetime
    label: bool
    basis: Literal["feedback", "silence"]


def known_of(
    policy: LabelPolicy, prediction: Prediction, changes: Sequence[LabelChange]
) -> list[Known]:
    """All that becomes known of a prediction, in the order of time, if nobody says more.

    changes: what feedback came to, from `resolve`

    Feedback counts from the instant it settled the label, also after silence has spoken: it is
    then a correction. Silence speaks `maturity` after the prediction was accepted, unless
    feedback has settled it by then; words that settle nothing do not break it.
    """
    known = [Known(known_at=change.known_at, label=change.label, basis="feedback")
             for change in changes]
    speaks = prediction.accepted_at + policy.maturity
    if policy.silence == "unlabelled" or (known and known[0].known_at <= speaks):
        return known
    label = policy.silence == "decision_stands" and prediction.decision
    return [Known(known_at=speaks, label=label, basis="silence"), *known]


def labels_known_in(
    policy: LabelPolicy,
    trust: FeedbackPolicy,
    *,
    start: datetime,
    end: datetime,
    archived: pd.DataFrame,
    predictions: Iterable[Prediction],
    feedback: Iterable[Feedback],
) -> pd.DataFrame:
    """The labels that became known in `[start, end)`, in the columns of `tables.LABELS`.

    archived:    rows of `tables.RAW`; an outcome counts `maturity` after its event
    predictions: what was served before `end`, from `maturity` before `start` at the latest,
                 and all that feedback is about
    feedback:    all that the system received before `end`; later words change nothing
    """
    rows: list[tuple[str, datetime, datetime, bool, str]] = []
    decided = archived.dropna(subset=["outcome"])
    for event_id, happened, outcome in zip(
        decided["event_id"], decided["event_timestamp"], decided["outcome"], strict=True
    ):
        known_at = happened + policy.maturity
        if start <= known_at < end:
            rows.append((event_id, happened, known_at, bool(outcome), "archive"))

    words: dict[str, list[Feedback]] = {}
    news: set[str] = set()
    heard = list(feedback)
    for said in heard:
        words.setdefault(said.prediction_id, []).append(said)
        if start <= said.received_at < end:
            news.add(said.prediction_id)
    first_heard = first_words(heard)
    for prediction in predictions:
        about = prediction.prediction_id
        if about not in news and not start <= prediction.accepted_at + policy.maturity < end:
            continue
        changes = resolve(words.get(about, []), trust, first_heard).changes
        rows += [
            (prediction.event_id, prediction.event_timestamp, known.known_at, known.label,
             known.basis)
            for known in known_of(policy, prediction, changes) if start <= known.known_at < end
        ]

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
