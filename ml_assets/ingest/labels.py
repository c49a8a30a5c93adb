"""When an outcome becomes a label: explicit ones as the truth says, silence once matured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

import pandas as pd

from ml_assets.core.feedback import FeedbackPolicy
from ml_assets.core.system import System
from ml_assets.core.target import Label
from ml_assets.core.time import DAY, FUTURE
from ml_assets.core.truths import Truth
from ml_assets.ingest.identity import of_events, of_labels
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import Feedback, Prediction
from ml_assets.ingest.log.resolution import LabelChange, first_words, resolve
from ml_assets.ingest.tables import KNOWN_COLUMNS, LOG_SEQ, raw_schema

ARCHIVED = ["event_id", "event_timestamp", "outcome", "outcome_known_at"]
"""Columns of raw records that make labels of history."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """From `known_at` on this was known of a prediction."""

    known_at: datetime
    label: Label
    basis: Literal["feedback", "silence"]


def known_of(
    truth: Truth, prediction: Prediction, changes: Sequence[LabelChange]
) -> list[Known]:
    """All that becomes known of a prediction, in the order of time, if nobody says more.

    changes: what feedback came to, from `resolve`

    Feedback counts from the instant it settled the label, also after silence has spoken: it is
    then a correction. Silence speaks once its time has come (`silence_speaks`), unless feedback
    has settled it by then; words that settle nothing do not break it.
    """
    known = [Known(known_at=change.known_at, label=change.label, basis="feedback")
             for change in changes]
    label, speaks = truth.of_silence(prediction.decision), silence_speaks(truth, prediction)
    if label is None or (known and known[0].known_at <= speaks):
        return known
    return [Known(known_at=speaks, label=label, basis="silence"), *known]


def silence_speaks(truth: Truth, prediction: Prediction) -> datetime:
    """When silence makes the label: `maturity` after the prediction, and after its event.

    A client's clock may be ahead of ours, and no outcome is known before its event.
    """
    return max(prediction.accepted_at, prediction.event_timestamp) + truth.maturity


def may_speak_in(
    truth: Truth, start: datetime, end: datetime
) -> tuple[datetime, datetime]:
    """The half-open interval in which predictions were accepted of which silence may speak in
    `[start, end)`."""
    return start - truth.maturity - FUTURE, end - truth.maturity


class ArchivedOutcomes:
    """Reads each day of the lake's raw records once, however long an outcome takes.

    Asked for one end after the other, in order. What waits to become known is in memory: of the
    events of one maturity.
    """

    def __init__(self, lake: Lake, system: System) -> None:
        self._lake, self._system, self._schema = lake, system, raw_schema(system)
        self._read_until: date | None = None
        self._waiting = self._rows([])

    def known_before(self, end: datetime) -> pd.DataFrame:
        """Those that become known before `end` and were not given yet, at least of the day that
        ends then; the first time also earlier ones. In ARCHIVED.
        """
        last = min(end.date(), self._system.calendar.go_live)  # later ones are told to the API
        first = self._read_until or (end - DAY - self._system.truth.maturity).date()
        days = [first + DAY * number for number in range((last - first).days)]
        read = self._rows(days)
        rows = pd.concat([self._waiting, read], ignore_index=True) if len(self._waiting) else read
        self._read_until = max(first, last)
        known = rows["outcome_known_at"] < end
        self._waiting = rows[~known]
        return rows[known]

    def _rows(self, days: list[date]) -> pd.DataFrame:
        rows = self._lake.read_days(self._system.name, self._system.asked.raw, self._schema, days,
                                    columns=ARCHIVED)
        return rows[rows["outcome_known_at"].notna()]

def labels_known_in(
    truth: Truth,
    trust: FeedbackPolicy,
    *,
    start: datetime,
    end: datetime,
    archived: pd.DataFrame,
    predictions: Iterable[Prediction],
    feedback: Iterable[Feedback],
    first_heard: Mapping[str, datetime] | None = None,
) -> pd.DataFrame:
    """The labels that became known in `[start, end)`, in the columns of `tables.known_schema`.

    archived:    rows of `tables.raw_schema`; an outcome counts from `outcome_known_at` on
    predictions: those of `may_speak_in`, at least, and all that is heard of in `[start, end)`
    feedback:    all that was said about these before `end`; later words change nothing
    first_heard: when each source first spoke of any prediction of the system; by `feedback`
                 unless given
    """
    known_then = archived[ARCHIVED][(archived["outcome_known_at"] >= start)
                          & (archived["outcome_known_at"] < end)]
    rows: list[tuple[str, datetime, datetime, Label, str]] = []
    words: dict[str, list[Feedback]] = {}
    news: set[str] = set()
    heard = list(feedback)
    for said in heard:
        words.setdefault(said.prediction_id, []).append(said)
        if start <= said.received_at < end:
            news.add(said.prediction_id)
    first_heard = first_words(heard) if first_heard is None else first_heard
    for prediction in predictions:
        about = prediction.prediction_id
        if about not in news and not start <= silence_speaks(truth, prediction) < end:
            continue
        changes = resolve(words.get(about, []), trust, first_heard).changes
        rows += [
            (prediction.event_id, prediction.event_timestamp, known.known_at, known.label,
             known.basis)
            for known in known_of(truth, prediction, changes) if start <= known.known_at < end
        ]

    known = pd.DataFrame(rows, columns=KNOWN_COLUMNS)
    if len(known_then):
        # Of history there are whole days, of live events on a day few are left to history.
        old = known_then.set_axis([*KNOWN_COLUMNS[:2], "label", "known_at"], axis=1).assign(
            label=known_then["outcome"].infer_objects(), basis="archive")[[*KNOWN_COLUMNS]]
        # One kind of UTC for both: columns of two kinds come together as objects.
        known = pd.concat([_in_utc(old), _in_utc(known)], ignore_index=True) if rows else old
    return known.sort_values(["known_at", "event_id"], kind="stable", ignore_index=True)


def _in_utc(known: pd.DataFrame) -> pd.DataFrame:
    return known.assign(**{
        name: pd.to_datetime(known[name], utc=True) for name in ("event_timestamp", "known_at")})


def label_id(event_id: str, known_at: datetime, label: Label) -> str:
    """One for each label of an event: by it a label counts once, wherever it comes from."""
    return f"{event_id} {known_at.isoformat()} {label}"


def with_keys(
    labels: pd.DataFrame, events: pd.DataFrame, keys: Sequence[str], live_from: datetime,
    counted: Callable[[Sequence[str]], Mapping[str, int]],
) -> pd.DataFrame:
    """The labels with ids and with their events' entity keys, as `tables.labels_schema`.

    labels: rows of `tables.known_schema`; events: event_id, accepted_at and `keys`, at least;
    keys are null if it lacks the event
    live_from: from when on events come from the API, `core.system.Calendar`
    counted: the positions of the log at which labels with these ids were counted, if they were
    """
    known = events.assign(same=of_events(events, live_from)).drop_duplicates("same")
    known_at = pd.DatetimeIndex(labels["known_at"]).to_pydatetime()  # pandas' own cost more
    named = list(map(label_id, labels["event_id"], known_at, labels["label"]))
    # As objects: a key that is an integer would become a float beside a missing one.
    known = known[["same", *keys]].astype(object)
    at = counted([name for name, basis in zip(named, labels["basis"], strict=True)
                  if basis == "feedback"])
    said = {"label_id": pd.Series(named, dtype=object),
            LOG_SEQ: pd.Series([at.get(name) for name in named], dtype="Int64")}
    return labels.assign(**said, same=of_labels(labels)).merge(
        known, on="same", how="left").drop(columns="same")


def latest_labels(labels: pd.DataFrame, as_of: datetime) -> pd.DataFrame:
    """One row for each event: what was last known of it strictly before `as_of`.

    An event stays counted once it has a label; a later label replaces an earlier one.
    """
    known = labels[labels["known_at"] < as_of]
    ordered = known.sort_values("known_at", kind="stable")
    latest = ~of_labels(ordered).duplicated(keep="last")
    return ordered[latest].sort_values(["event_timestamp", "event_id"], ignore_index=True)
