"""The people behind the recorded events: who complains about a wrong decision, and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from heapq import heappop, heappush

from ml_assets.core.policies import ReplayPolicy


@dataclass(frozen=True, order=True, kw_only=True)
class Report:
    """A future complaint: when, about which prediction, and the true label."""

    due: datetime
    prediction_id: str
    label: bool


@dataclass(kw_only=True)
class People:
    """Draws complaints according to `policy`; the same event always draws the same."""

    policy: ReplayPolicy
    pending: list[Report] = field(default_factory=list)

    def receive(
        self, *, event_id: str, at: datetime, prediction_id: str, decision: bool, outcome: bool
    ) -> None:
        """Someone sees the decision for an event whose true outcome they know."""
        if decision == outcome or _draw(event_id, "reports") >= self.policy.reporting:
            return
        due = at + self.policy.max_delay * _draw(event_id, "delay")
        heappush(self.pending, Report(due=due, prediction_id=prediction_id, label=outcome))

    def due(self, until: datetime) -> list[Report]:
        """Take the reports that are due before `until`, in order of time."""
        ready = []
        while self.pending and self.pending[0].due < until:
            ready.append(heappop(self.pending))
        return ready


def _draw(event_id: str, purpose: str) -> float:
    """A number in [0, 1) that depends only on the event and the purpose."""
    digest = blake2b(f"{purpose}:{event_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
