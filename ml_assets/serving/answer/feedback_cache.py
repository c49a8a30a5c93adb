"""Feedback on predictions, cached so that one more piece costs the same however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from ml_assets.core.system import System
from ml_assets.ingest.log.event_log import EventLog, Feedback
from ml_assets.ingest.log.resolution import Hearing, OutOfOrder

MOST_WORDS = 50_000
"""Pieces of feedback that are cached, of all predictions: some 30 MB. The prediction that had
feedback longest ago is dropped first, and read again when it gets more."""


@dataclass(kw_only=True)
class _Kept:
    """seen: the id of the latest piece of feedback that was read. words: how many were."""

    hearing: Hearing
    first_heard: dict[str, datetime]
    seen: int = 0
    words: int = 0


@dataclass(kw_only=True)
class FeedbackCache:
    """The feedback on a system's predictions, as it is in the log. One call at a time.

    Other processes may write some too: what they have written meanwhile is read first. Of another
    log, such as the same file opened anew, everything is read again.
    """

    system: System
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _words: int = 0
    _log: EventLog | None = None

    def of(self, log: EventLog, prediction_id: str) -> Hearing:
        """All feedback on the prediction until now. Raises LogUnavailable."""
        if log is not self._log:
            self._forget_all()
            self._log = log
        kept = self._kept.get(prediction_id) or self._new()
        news = log.feedback.after(prediction_id, kept.seen)
        self.forget(prediction_id)
        try:
            self._hear(log, kept, [said for _, said in news])
        except OutOfOrder:  # the clock of a process went back, before instants were kept in order
            kept, news = self._new(), log.feedback.after(prediction_id, 0)
            self._hear(log, kept, sorted((said for _, said in news),
                                         key=lambda said: said.received_at))
        if news:
            kept.seen = news[-1][0]
        kept.words += len(news)
        self._keep(prediction_id, kept)
        return kept.hearing

    def _forget_all(self) -> None:
        self._kept.clear()
        self._words = 0

    def _new(self) -> _Kept:
        first_heard: dict[str, datetime] = {}
        return _Kept(hearing=Hearing(self.system.feedback, first_heard), first_heard=first_heard)

    def _hear(self, log: EventLog, kept: _Kept, words: Sequence[Feedback]) -> None:
        for _, at_once in groupby(words, key=lambda said: said.received_at):
            some = list(at_once)
            for source in {said.source for said in some} - kept.first_heard.keys():
                first = log.feedback.first_word(self.system.name, source)
                if first is not None:
                    kept.first_heard[source] = first
            kept.hearing.hear(some)

    def forget(self, prediction_id: str) -> None:
        """Read the feedback on this prediction anew when it is asked for next."""
        kept = self._kept.pop(prediction_id, None)
        self._words -= 0 if kept is None else kept.words

    def _keep(self, prediction_id: str, kept: _Kept) -> None:
        self._kept[prediction_id] = kept
        self._words += kept.words
        for oldest in list(self._kept)[:-1] if self._words > MOST_WORDS else ():
            self.forget(oldest)
            if self._words <= MOST_WORDS:
                break
