"""A clock for ordered records: it never goes back, whatever the machine's clock does.

Like a hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014): the physical clock's
reading or, while that is behind the last assigned instant, a microsecond more each time.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

JUMP = timedelta(seconds=1)
"""A clock that is set moves by more than this at once; one that NTP disciplines does not."""
NEWS_SECONDS = 3600.0
"""How long a jump is worth a warning after it was noticed."""
STEP = timedelta(microseconds=1)

Direction = Literal["back", "ahead"]


def uptime() -> float:
    """Seconds of a clock that nobody sets; includes sleep if the system can tell."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, kw_only=True)
class Jump:
    """A clock moved by `by` relative to the time that passed, and now says `to`.

    seconds: `elapsed` when it was noticed
    """

    by: timedelta
    to: datetime
    seconds: float

    @property
    def direction(self) -> Direction:
        return "back" if self.by < timedelta(0) else "ahead"

    def __str__(self) -> str:
        moved = "went back" if self.direction == "back" else "jumped ahead"
        seconds = abs(self.by.total_seconds())
        return f"the clock {moved} by {seconds:,.0f} s, to {self.to.isoformat()}"


class HybridClock:
    """Instants that never go back, from a clock that may be set. One thread writes, any reads.

    read: the clock; elapsed: seconds of a clock that nobody sets
    paced: whether the clock runs at the wall's pace; if a replay moves it, only a step back is a
        jump

    reading: the clock's last reading, None before the first
    latest: the latest instant that was assigned here or passed to `hear`, None before any
    jumps: how many were noticed; jump: the latest
    """

    def __init__(
        self, read: Callable[[], datetime], *, elapsed: Callable[[], float] = uptime,
        paced: Callable[[], bool] = lambda: True,
    ) -> None:
        self._read, self._elapsed, self._paced = read, elapsed, paced
        self._passed = 0.0
        self._behind = False
        self.reading: datetime | None = None
        self.latest: datetime | None = None
        self.jumps: Counter[Direction] = Counter()
        self.jump: Jump | None = None

    def hear(self, instant: datetime | None) -> None:
        """Assign nothing at or before `instant`, which another process has assigned."""
        if instant is not None and (self.latest is None or instant > self.latest):
            self.latest = instant

    def now(self) -> datetime:
        """The clock's reading, or the latest instant if that is later. Assigns nothing."""
        reading, passed = self._read(), self._elapsed()
        moved = self._moved(reading, passed)
        behind = self.latest is not None and self.latest - reading > JUMP
        if moved is None and behind and not self._behind and self.latest is not None:
            moved = reading - self.latest
        if moved is not None:
            self.jump = Jump(by=moved, to=reading, seconds=passed)
            self.jumps[self.jump.direction] += 1
        self.reading, self._passed, self._behind = reading, passed, behind
        return reading if self.latest is None else max(reading, self.latest)

    def assign(self) -> datetime:
        """An instant after all those assigned or heard before.

        If the clock stands still, as a replay's does, it is the instant at which it stands.
        """
        now = self.now()
        if self.reading is not None and self.reading < now:
            now += STEP
        self.latest = now
        return now

    def _moved(self, reading: datetime, passed: float) -> timedelta | None:
        """By how much the clock was set since the last reading; None if it was not."""
        if self.reading is None:
            return None
        moved = reading - self.reading
        drift = moved - timedelta(seconds=passed - self._passed)
        if abs(drift) <= JUMP:
            return None
        if self._paced():
            return drift
        return moved if moved < -JUMP else None

    def warning(self) -> str | None:
        """What a person should know about the clock now, in words."""
        if self._behind and self.latest is not None and self.reading is not None:
            return (f"the clock says {self.reading.isoformat()}, but {self.latest.isoformat()} was "
                    "assigned already: until it is past that, instants go on from there by "
                    "microseconds. Check the machine's clock")
        if self.jump is not None and self._elapsed() - self.jump.seconds < NEWS_SECONDS:
            return f"{self.jump}. Check the machine's clock"
        return None
