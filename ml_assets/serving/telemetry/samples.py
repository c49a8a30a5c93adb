"""What one process has counted, as plain numbers that add up over processes."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from ml_assets.serving.answer.counters import Histogram

Key = tuple[str, ...]
"""A metric's name, then the values of its labels."""


class Buckets(Struct, frozen=True, array_like=True):
    """How many values each bucket holds, the last one without a bound, and what they come to."""

    counts: list[int]
    total: float

    @classmethod
    def of(cls, histogram: Histogram) -> Buckets:
        return cls(list(histogram.counts), histogram.total)

    def plus(self, other: Buckets) -> Buckets:
        """For the same bounds, which are constants of the code that both processes run."""
        counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        return Buckets(counts, self.total + other.total)


class WorkerSamples(Struct, frozen=True, kw_only=True):
    """What one process, or several, have counted.

    counts: they only rise
    buckets: histograms, which only rise
    levels: as they are now, such as the length of a queue
    latest: instants of what happened last, by `monotonic`, one clock for all of a machine
    """

    counts: dict[Key, int] = {}
    buckets: dict[Key, Buckets] = {}
    levels: dict[Key, int] = {}
    latest: dict[Key, float] = {}

    def plus(self, other: WorkerSamples) -> WorkerSamples:
        """Both together: sums, and of instants the later one."""
        buckets = dict(self.buckets)
        for key, more in other.buckets.items():
            buckets[key] = buckets[key].plus(more) if key in buckets else more
        return WorkerSamples(
            counts=_added(self.counts, other.counts), buckets=buckets,
            levels=_added(self.levels, other.levels),
            latest={**self.latest, **{
                key: max(at, self.latest.get(key, at)) for key, at in other.latest.items()}},
        )

    def past(self) -> WorkerSamples:
        """What stays of them once their process has ended: all but the levels."""
        return WorkerSamples(counts=self.counts, buckets=self.buckets, latest=self.latest)


def _added(one: Mapping[Key, int], other: Mapping[Key, int]) -> dict[Key, int]:
    added = dict(one)
    for key, more in other.items():
        added[key] = added.get(key, 0) + more
    return added
