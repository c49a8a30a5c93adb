"""How a program that works until it is told to stop passes its time."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from types import FrameType

SAY_SECONDS = 10.0
"""Between two lines of progress."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 2.0


class Backoff:
    """How long to wait before something that has failed is tried again: twice as long each time."""

    def __init__(self) -> None:
        self._next_s = FIRST_WAIT_S

    def wait_s(self) -> float:
        now, self._next_s = self._next_s, min(2 * self._next_s, LONGEST_WAIT_S)
        return now

    def sleep(self, stopping: Callable[[], bool]) -> None:
        """Wait so long, unless told to stop."""
        ends = monotonic() + self.wait_s()
        while not stopping() and (left := ends - monotonic()) > 0:
            sleep(min(left, 0.1))

    def reset(self) -> None:
        """It has succeeded."""
        self._next_s = FIRST_WAIT_S


class Progress:
    """A line of the log from time to time, and at the end, on what was done since the last one.

    what: what is counted, such as "messages of a queue"
    """

    def __init__(
        self, logger: logging.Logger, what: str, now: Callable[[], float] = monotonic
    ) -> None:
        self._logger, self._what, self._now = logger, what, now
        self._since, self._counted, self._lag = now(), 0, 0

    @property
    def due(self) -> bool:
        return self._now() - self._since >= SAY_SECONDS

    def say(self, total: int, lag: int, *more: str) -> None:
        """total: since the start; lag: how many wait; more: what else is to be known"""
        new, seconds = total - self._counted, self._now() - self._since
        if new or lag or self._lag or more:
            self._logger.info("%s", ", ".join([
                f"{total:,} {self._what} ({new / max(seconds, 0.001):,.0f}/s)",
                f"{lag:,} waiting", *more]))
        self._since, self._counted, self._lag = self._now(), total, lag


@contextmanager
def until_stopped() -> Iterator[Callable[[], bool]]:
    """In the block, SIGTERM, SIGINT and SIGHUP (unless by `nohup`) are noted; the value tells
    whether one has come. Of the main thread."""
    came = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True

    before = {number: signal.getsignal(number)
              for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    for number, handler in before.items():
        if number != signal.SIGHUP or handler != signal.SIG_IGN:
            signal.signal(number, note)
    try:
        yield lambda: came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
