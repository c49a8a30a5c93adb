"""Feedback taken in: logged once, and what the label is now that it has been said."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from ml_assets.core.runtime.isolation import Fault, attempt, isolate
from ml_assets.core.system import System
from ml_assets.core.target import Label
from ml_assets.ingest.labels import Known, known_of, label_id
from ml_assets.ingest.log.event_log import EventLog, Feedback, Prediction
from ml_assets.ingest.log.resolution import Hearing
from ml_assets.ingest.log.served import to_us
from ml_assets.ingest.log.told import LABELS, ToldEvent
from ml_assets.ingest.posted import read_json
from ml_assets.serving.answer.explanation import prediction_in
from ml_assets.serving.answer.feedback_cache import FeedbackCache
from ml_assets.serving.answer.instants import Instants
from ml_assets.serving.answer.log_handle import LogHandle
from ml_assets.serving.answer.slates.slate import row_about


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a source says about a prediction; at: when, if it was not just now; item: which one, if
    the id is that of a whole slate."""

    prediction_id: str
    label: Label
    source: str
    at: datetime | None = None
    item: object = None


@dataclass(frozen=True, kw_only=True)
class FeedbackResult:
    """What a piece of feedback came to.

    new: False if this source has just said the same of this prediction
    counted: whether this source has a say in the label now; its feedback is kept anyway
    known: what the prediction's label is now, and what made it known; None if it is not known
    says: what all feedback so far comes to, and why
    """

    new: bool
    counted: bool
    known: Known | None
    says: str


class FeedbackIntake:
    """Takes in the feedback on one system's predictions. One call at a time.

    counts: `feedback`, how many were new
    """

    def __init__(
        self, system: System, *, log: LogHandle, instants: Instants, counts: Counter[str]
    ) -> None:
        self._system, self._log, self._instants, self._counts = system, log, instants, counts
        self._cache = FeedbackCache(system=system)

    def add(self, said: Said) -> FeedbackResult:
        """Log the feedback and say what the label is now. Raises what `add_all` gives."""
        [result] = self.add_all([said])
        if isinstance(result, Exception):
            raise result
        return result

    def add_all(self, words: Sequence[Said]) -> list[FeedbackResult | Exception]:
        """Log each piece of feedback, in order, and say what its label is now; or the error of this
        one: UnknownName if this system made no such prediction, EventRefused if the slate did not
        show the item, TooOften if the source has used up its share, LogUnavailable.
        """
        with self._log.session() as log:
            now = self._instants.assign(log)
            received = self._instants.accepted_at([each.at or now for each in words], now)
            return isolate(lambda pair: self._add(log, *pair), zip(words, received, strict=True))

    def _add(self, log: EventLog, said: Said, received: datetime) -> FeedbackResult:
        if said.item is not None:
            said = replace(said, item=None, prediction_id=row_about(
                log, self._system, said.prediction_id, said.item))
        about = prediction_in(log, self._system, said.prediction_id)
        keys = self._keys_of(about)  # before the log is locked: parsing may take long
        feedback = Feedback(
            prediction_id=said.prediction_id, system=self._system.name, label=said.label,
            source=said.source,
            # No outcome is known before its event, whatever the client's clock said of that.
            received_at=max(received, about.event_timestamp),
        )
        try:
            new = log.feedback.add(feedback, limit=self._system.feedback.limit_of(said.source),
                                   settles=partial(self._settled, log, about, keys))
        except BaseException:
            # It may have been heard before it was undone, and its number goes to the next.
            self._cache.forget(said.prediction_id)
            raise
        self._counts["feedback"] += new
        hearing = self._cache.of(log, said.prediction_id)
        return result_of(self._system, about, hearing, feedback, new=new)

    def _keys_of(self, about: Prediction) -> dict[str, object]:
        """The entity keys of a prediction's event; none if it no longer parses."""
        event = attempt(lambda: self._system.source.parse(read_json(about.request)))
        return {} if isinstance(event, Fault) else {
            name: event[name] for name in self._system.keys}

    def _settled(
        self, log: EventLog, about: Prediction, keys: Mapping[str, object], received_us: int
    ) -> ToldEvent | None:
        """The label that the latest word about a prediction has made known, for features."""
        changes = self._cache.of(log, about.prediction_id).changes
        if not changes or to_us(changes[-1].known_at) != received_us:
            return None
        known_at, label = changes[-1].known_at, changes[-1].label
        name = label_id(about.event_id, known_at, label)
        return ToldEvent(
            system=self._system.name, stream=LABELS, event_id=name, event_timestamp=known_at,
            accepted_at=known_at, request=json.dumps(
                {**keys, "label_id": name, "known_at": received_us, "label": label}),
        )


def result_of(
    system: System, about: Prediction, hearing: Hearing, said: Feedback, *, new: bool
) -> FeedbackResult:
    """What the source that has just `said` something about a prediction gets to know.

    hearing: of all feedback on it, the source's own too
    """
    # Between the first change and the last one there is nothing that is known now.
    changes = hearing.changes if len(hearing.changes) < 3 else [
        hearing.changes[0], hearing.changes[-1]]
    # Feedback may be dated a moment ahead of the clock; it is known all the same.
    until = max(said.received_at, hearing.latest or said.received_at)
    known = [each for each in known_of(system.truth, about, changes) if each.known_at <= until]
    return FeedbackResult(new=new, counted=hearing.counts(said.source),
                          known=known[-1] if known else None, says=hearing.says)
