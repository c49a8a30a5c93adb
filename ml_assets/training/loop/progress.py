"""Progress of a training, as lines of a log."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from types import TracebackType

StepProgress = Callable[[int, int, int, float], None]
"""Told epoch (from 1), steps taken of it, steps that it has, and the mean loss in it so far.

A fit to all rows at once is one epoch of evaluations.
"""
LOGGED_S = 5.0
"""Between two lines."""
CELLS = 20


class ProgressLog:
    """A context that is called as `StepProgress`.

    epochs: that are taken at most; log: gets a line now and then, and one in the end. Dagster sends
    what a step prints to a file, so a bar on a screen would have nobody who sees it.
    """

    def __init__(
        self, epochs: int, log: Callable[[str], object], clock: Callable[[], float] = monotonic
    ) -> None:
        self.epochs, self._log, self._clock = epochs, log, clock
        self._logged_at = -LOGGED_S
        self._unlogged: str | None = None

    def __enter__(self) -> ProgressLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._unlogged is not None:
            self._log(self._unlogged)

    def __call__(self, epoch: int, step: int, steps: int, loss: float) -> None:
        done = (epoch - 1 + step / steps) / self.epochs
        full = round(CELLS * done)
        self._unlogged = (f"[{'#' * full}{'-' * (CELLS - full)}] epoch {epoch} of {self.epochs}, "
                          f"step {step:,} of {steps:,}: loss {loss:.4g}")
        if self._clock() - self._logged_at >= LOGGED_S:
            self._log(self._unlogged)
            self._logged_at, self._unlogged = self._clock(), None


def untold(epoch: int, step: int, steps: int, loss: float) -> None:
    """For whom progress is nothing."""
