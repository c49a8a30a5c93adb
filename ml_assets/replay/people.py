"""The people behind the recorded events: who says what turned out to be true, and when.

Where a system has audits, somebody answers them halfway through the time until silence speaks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from heapq import heapify, heappop, heappush

import numpy as np

from ml_assets.core.source import ArchivedEvent
from ml_assets.core.system import System
from ml_assets.core.target import Label


@dataclass(frozen=True, order=True, kw_only=True)
class Report:
    """What will be said: when, about which prediction, in whose name, and the true label."""

    due: datetime
    prediction_id: str
    source: str
    label: Label = field(compare=False)


@dataclass(kw_only=True)
class People:
    """They tell outcomes as the system's truth declares, and answer its audits; the same event is
    always told alike.
    """

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
        policy, audit = self.system.feedback, self.system.feedback.audit
        words = [(self.system.truth.source,
                  self.system.truth.told_at(event, decided, right=bool(right[0])))]
        if audit is not None and policy.propensity(prediction_id) is not None:
            words.append((audit.source, audited_at(self.system, event)))
        for source, due in words:
            if due is not None:
                heappush(self.pending, Report(
                    due=due, prediction_id=prediction_id, source=source, label=label))

    def forget(self, said: set[tuple[str, str]]) -> None:
        """What has been said already: about which predictions, by whom."""
        self.pending = [each for each in self.pending
                        if (each.prediction_id, each.source) not in said]
        heapify(self.pending)

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


def audited_at(system: System, event: ArchivedEvent) -> datetime | None:
    """When somebody says what was true of an event, if it is audited; None without audits."""
    if system.feedback.audit is None:
        return None
    return event.event_timestamp + system.truth.maturity / 2
