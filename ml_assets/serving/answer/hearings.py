"""What was said about predictions, remembered so that one more word costs what it costs alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from ml_assets.core.system import System
from ml_assets.ingest.log.event_log import EventLog, Feedback
from ml_assets.ingest.log.resolution import Hearing, OutOfOrder

MOST_WORDS = 50_000
"""That are remembered, of all predictions together: some 30 MB. What was heard of longest ago is
forgotten first, and read again if somebody speaks of it."""


@dataclass(kw_only=True)
class _Kept:
    """seen: the id of the latest word that was heard. words: how many were."""

    hearing: Hearing
    first_heard: dict[str, datetime]
    seen: int = 0
    words: int = 0


@dataclass(kw_only=True)
class Hearings:
    """The words about a system's predictions, as they are in the log. One call at a time.

    Other processes may write them too: what they have written meanwhile is heard first.
    """

    system: System
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _words: int = 0

    def of(self, log: EventLog, prediction_id: str) -> Hearing:
        """All that was said about the prediction until now. Raises LogUnavailable."""
        kept = self._kept.get(prediction_id) or self._new()
        news = log.words_after(prediction_id, kept.seen)
        self._forget(prediction_id)
        try:
            self._hear(log, kept, [said for _, said in news])
        except OutOfOrder:  # the clock of a process went back, before instants were kept in order
            kept, news = self._new(), log.words_after(prediction_id, 0)
            self._hear(log, kept, sorted((said for _, said in news),
                                         key=lambda said: said.received_at))
        if news:
            kept.seen = news[-1][0]
        kept.words += len(news)
        self._keep(prediction_id, kept)
        return kept.hearing

    def forget(self) -> None:
        """All: the log may be another one now."""
        self._kept.clear()
        self._words = 0

    def _new(self) -> _Kept:
        first_heard: dict[str, datetime] = {}
        return _Kept(hearing=Hearing(self.system.feedback, first_heard), first_heard=first_heard)

    def _hear(self, log: EventLog, kept: _Kept, words: Sequence[Feedback]) -> None:
        for _, together in groupby(words, key=lambda said: said.received_at):
            some = list(together)
            for source in {said.source for said in some} - kept.first_heard.keys():
                first = log.first_word(self.system.name, source)
                if first is not None:
                    kept.first_heard[source] = first
            kept.hearing.hear(some)

    def _forget(self, prediction_id: str) -> None:
        kept = self._kept.pop(prediction_id, None)
        self._words -= 0 if kept is None else kept.words

    def _keep(self, prediction_id: str, kept: _Kept) -> None:
        self._kept[prediction_id] = kept
        self._words += kept.words
        for oldest in list(self._kept)[:-1] if self._words > MOST_WORDS else ():
            self._forget(oldest)
            if self._words <= MOST_WORDS:
                break
