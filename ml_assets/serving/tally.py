"""Counting that costs next to nothing: plain numbers, which `/metrics` puts into words."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

from ml_assets.ingest.event_log import Prediction

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
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
class Tally:
    """What one system's predictor has answered since the process started.

    answered: by (model version, role)
    degraded: by model version
    batches: events that were logged in one transaction
    committed_at: when the latest such transaction ended, by `monotonic`; None before the first
    """

    answered: Counter[tuple[int, str]] = field(default_factory=Counter)
    degraded: Counter[int] = field(default_factory=Counter)
    batches: Histogram = field(default_factory=lambda: Histogram(SIZES))
    committed_at: float | None = None

    def committed(self, size: int) -> None:
        self.batches.observe(size)
        self.committed_at = monotonic()

    def answer(self, prediction: Prediction) -> None:
        self.answered[prediction.model_version, prediction.role] += 1
        self.degraded[prediction.model_version] += prediction.degraded
