"""How far the building of a training set has come."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

BuildProgress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is, and how much there is of it."""
LOGGED_S = 5.0
"""Between two lines."""


class BuildLog:
    """A `BuildProgress` that writes lines now and then: of a small set none."""

    def __init__(
        self, log: Callable[[str], object], clock: Callable[[], float] = monotonic
    ) -> None:
        self._log, self._clock, self._logged_at = log, clock, clock()

    def __call__(self, what: str, done: int, of: int) -> None:
        if self._clock() - self._logged_at >= LOGGED_S:
            self._log(f"{what}: {done:,} of {of:,}")
            self._logged_at = self._clock()


def untold(what: str, done: int, of: int) -> None:
    """For whom progress is nothing."""
