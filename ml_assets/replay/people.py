"""The people behind the recorded events: who says what turned out to be true, and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from heapq import heappop, heappush

import numpy as np

from ml_assets.core.source import ArchivedEvent
from ml_assets.core.system import System
from ml_assets.core.target import Label


@dataclass(frozen=True, order=True, kw_only=True)
class Report:
    """What will be said: when, about which prediction, and the true label."""

    due: datetime
    prediction_id: str
    label: Label


@dataclass(kw_only=True)
class People:
    """They tell outcomes as the system's truth declares; the same event is always told alike."""

    system: System
    pending: list[Report] = field(default_factory=list)

    def receive(self, event: ArchivedEvent, *, prediction_id: str, decision: object) -> None:
        """Someone sees the decision for an event, one of `ingest.archive.usable`.

        Nothing follows if nobody knows what was true.
        """
        if event.outcome is None:
            return
        target = self.system.target
        label, decided = target.label(event.outcome), target.label(decision)
        right = target.right(np.array([target.code(label)]), np.array([target.code(decided)]))
        due = self.system.truth.told_at(event, decided, right=bool(right[0]))
        if due is not None:
            heappush(self.pending, Report(due=due, prediction_id=prediction_id, label=label))

    @property
    def next_due(self) -> datetime | None:
        """When the next report is due, as far as is known."""
        return self.pending[0].due if self.pending else None

    def due(self, until: datetime) -> list[Report]:
        """Take the reports that are due before `until`, in order of time."""
        ready = []
        while self.pending and self.pending[0].due < until:
            ready.append(heappop(self.pending))
        return ready
