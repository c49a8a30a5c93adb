"""Progress of a training: a bar in the terminal, lines in a log."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from time import monotonic
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

StepProgress = Callable[[int, int, int, float], None]
"""Told epoch (from 1), steps taken of it, steps that it has, and the mean loss in it so far.

A fit to all rows at once is one epoch of evaluations.
"""
LOGGED_S = 5.0
"""Between two lines of the log."""
CELLS = 20


class TrainingBar:
    """A context that is called as `StepProgress`.

    epochs: that are taken at most; log: gets a line now and then, and one in the end. The bar is
    drawn only if a person watches and nobody else draws one.
    """

    def __init__(
        self, epochs: int, log: Callable[[str], object], clock: Callable[[], float] = monotonic
    ) -> None:
        self.epochs, self._log, self._clock = epochs, log, clock
        self._logged_at = -LOGGED_S
        self._unlogged: str | None = None
        self._context = ExitStack()
        self._bar: tuple[Progress, TaskID] | None = None

    def __enter__(self) -> TrainingBar:
        if is_watched():
            drawn = self._context.enter_context(Progress(
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[loss]}"),
                TimeRemainingColumn(), console=Console(stderr=True), transient=True))
            self._bar = drawn, drawn.add_task("training", total=1.0, loss="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._unlogged is not None:
            self._log(self._unlogged)
        self._context.close()

    def __call__(self, epoch: int, step: int, steps: int, loss: float) -> None:
        done = (epoch - 1 + step / steps) / self.epochs
        if self._bar is not None:
            drawn, task = self._bar
            drawn.update(task, completed=done, loss=f"loss {loss:.4g}",
                         description=f"epoch {epoch} of {self.epochs}")
        full = round(CELLS * done)
        self._unlogged = (f"[{'#' * full}{'-' * (CELLS - full)}] epoch {epoch} of {self.epochs}, "
                          f"step {step:,} of {steps:,}: loss {loss:.4g}")
        if self._clock() - self._logged_at >= LOGGED_S:
            self._log(self._unlogged)
            self._logged_at, self._unlogged = self._clock(), None


def is_watched() -> bool:
    """Whether standard error is a terminal on which nobody else draws: a replay has its own bar,
    and rich puts a proxy in the way meanwhile.
    """
    return sys.stderr.isatty() and not hasattr(sys.stderr, "rich_proxied_file")


def untold(epoch: int, step: int, steps: int, loss: float) -> None:
    """For whom progress is nothing."""
