"""Whether batches are so quick that the event loop can spare the time that they take."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

QUICK_SECONDS = 0.05
"""How long the event loop may stand still: nothing is read or answered meanwhile."""
REST_SECONDS = 1.0
"""How long no batch runs on the event loop after one that took longer."""


class LoopBudget:
    """Watches how long batches take, wherever they run. The first one counts as slow."""

    def __init__(self, seconds: Callable[[], float] = monotonic) -> None:
        self._seconds = seconds
        self._is_proved, self._rests_until = False, seconds()

    @property
    def is_quick(self) -> bool:
        return self._is_proved and self._seconds() >= self._rests_until

    def took(self, seconds: float) -> None:
        """A batch has taken so long."""
        self._is_proved = seconds <= QUICK_SECONDS
        if not self._is_proved:
            self._rests_until = self._seconds() + REST_SECONDS
