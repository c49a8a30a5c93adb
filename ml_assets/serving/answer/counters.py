"""Counting that costs next to nothing: plain numbers, which `/metrics` puts into words."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

from ml_assets.ingest.log.event_log import Prediction

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
RECENT = 1000
"""Answers that are remembered one by one, to say how many of them were degraded."""
RECENT_SECONDS = 60.0
"""So long a degraded answer is worth a warning."""
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Histogram:
    """How often a value was at most so much. One writer; read from any thread."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(kw_only=True)
class Counters:
    """What one system has answered since the process started.

    kinds: by the names of `protocol.Counts`; read on any thread
    answered: by (model version, role)
    degraded: by model version
    batches: events that were logged in one transaction
    committed_at: when the latest such transaction ended, by `monotonic`; None before the first
    recent: of the latest answers, whether they were degraded
    degraded_at: when the latest degraded answer was committed, likewise
    """

    kinds: Counter[str] = field(default_factory=Counter)
    answered: Counter[tuple[int, str]] = field(default_factory=Counter)
    degraded: Counter[int] = field(default_factory=Counter)
    batches: Histogram = field(default_factory=lambda: Histogram(SIZES))
    committed_at: float | None = None
    recent: deque[bool] = field(default_factory=lambda: deque(maxlen=RECENT))
    degraded_at: float | None = None

    def committed(self, size: int) -> None:
        self.batches.observe(size)
        self.committed_at = monotonic()

    def answer(self, prediction: Prediction) -> None:
        self.answered[prediction.model_version, prediction.role] += 1
        self.degraded[prediction.model_version] += prediction.degraded
        self.recent.append(prediction.degraded)
        if prediction.degraded:
            self.degraded_at = self.committed_at

    def warnings(self, now: float) -> list[str]:
        """That answers lack features, if one of the last minute did. On any thread.

        A store that is slow for large batches alone passes every look at it.

        now: by `monotonic`
        """
        if self.degraded_at is None or now - self.degraded_at > RECENT_SECONDS:
            return []
        recent = list(self.recent)
        return [f"{sum(recent):,} of the latest {len(recent):,} answers are degraded: without "
                f"features from the store, the last {now - self.degraded_at:.0f} s ago"]
