"""A histogram of latencies: small, precise enough, and additive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

DIGITS = 7
"""Bits kept of a latency: it is at most 1/128 below what was measured."""


@dataclass(kw_only=True)
class Latencies:
    """Counts by microseconds, rounded down to `DIGITS` significant bits."""

    counts: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, stored: Mapping[str, int]) -> Latencies:
        """The inverse of `stored`."""
        return cls(counts=Counter({int(us): count for us, count in stored.items()}))

    def stored(self) -> dict[str, int]:
        """For JSON."""
        return {str(us): count for us, count in sorted(self.counts.items())}

    def add(self, seconds: float) -> None:
        us = int(seconds * 1e6)
        surplus = us.bit_length() - DIGITS
        self.counts[us if surplus <= 0 else us >> surplus << surplus] += 1

    @property
    def total(self) -> int:
        return self.counts.total()

    def quantile_ms(self, share: float) -> float:
        """The latency, in milliseconds, that `share` of the requests did not exceed.

        The nearest rank (no interpolation), NaN if nothing was counted.
        """
        rank = ceil(share * self.total)
        for us, count in sorted(self.counts.items()):
            rank -= count
            if rank <= 0:
                return us / 1000
        return float("nan")

    def above(self, seconds: float) -> int:
        """How many took at least that long."""
        return sum(count for us, count in self.counts.items() if us >= seconds * 1e6)
