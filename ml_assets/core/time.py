"""Instants, days and the one clock that every room reads.

All instants are aware UTC with microseconds; all intervals are half-open `[start, end)`.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Protocol

from ml_assets.core.errors import InvalidRequest
from ml_assets.core.files import write_atomically

DAY = timedelta(days=1)


class Clock(Protocol):
    """Says what time it is. Injected, so that a replay can move it."""

    def now(self) -> datetime:
        """The present instant, aware UTC."""
        ...


class WallClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class EventClock:
    """A clock kept in a file, so that every process of a replay agrees on the time.

    It stands still where it was `set` until it is `start`ed; from then on it runs at the
    wall's pace. A replay sets it to each event's instant and starts it when it is done, so
    that the system lives on from the last replayed day.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def now(self) -> datetime:
        state = json.loads(self.path.read_text())
        at = datetime.fromisoformat(state["at"])
        started = state["started_wall"]
        if started is None:
            return at
        return at + (datetime.now(UTC) - datetime.fromisoformat(started))

    def stands_still(self) -> bool:
        """Whether a replay has set it and not come to its end: another goes on from here."""
        return json.loads(self.path.read_text())["started_wall"] is None

    def set(self, instant: datetime) -> None:
        """Stand still at `instant`."""
        self._write(instant, None)

    def start(self) -> None:
        """Run on at the wall's pace from where the clock stands."""
        self._write(self.now(), datetime.now(UTC))

    def _write(self, at: datetime, started: datetime | None) -> None:
        state = {"at": at.isoformat(), "started_wall": started and started.isoformat()}
        write_atomically(self.path, json.dumps(state).encode(), durable=False)


def utc(instant: datetime) -> datetime:
    """`instant` as aware UTC; raises InvalidRequest where it names no time zone."""
    if instant.tzinfo is None:
        raise InvalidRequest(
            f"instant {instant.isoformat()!r} has no time zone; write it as UTC, e.g. "
            f"{instant.replace(tzinfo=UTC).isoformat()!r}"
        )
    return instant.astimezone(UTC)


def midnight(day: date) -> datetime:
    """The first instant of `day`, UTC."""
    return datetime.combine(day, time(), UTC)


def day_bounds(day: date) -> tuple[datetime, datetime]:
    """The half-open interval `[start, end)` of `day`, UTC."""
    start = midnight(day)
    return start, start + DAY


def parse_day(key: str) -> date:
    """The day that a partition key such as `2002-08-22` names."""
    return date.fromisoformat(key)
