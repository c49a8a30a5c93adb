"""Instants, days and the clock of a system, which every room reads.

All instants are aware UTC with microseconds; all intervals are half-open `[start, end)`.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Protocol

from ml_assets.core.errors import InvalidRequest
from ml_assets.core.storage.condition import damaged, trouble_of
from ml_assets.core.storage.files import write_atomically
from ml_assets.core.storage.layout import OLD_CLOCK, state_file
from ml_assets.core.storage.marker import note

DAY = timedelta(days=1)

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
"""Every event happens in `[EARLIEST, LATEST)`, wherever it comes from.

Everything here that stores instants can represent these, and durations added to them: nanoseconds
since 1970 in 64 bits, which pandas may choose, range from 1677 to 2262; microseconds in Arrow,
DuckDB and SQLite, and JSON strings for the years 1 to 9999, range further.
"""
FUTURE = timedelta(seconds=60)
"""How far ahead of ours a client's clock may be."""


class Clock(Protocol):
    """Tells the time. Injected, so a replay can move it."""

    def now(self) -> datetime:
        """The present instant, aware UTC."""
        ...


class WallClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class EventClock:
    """A clock kept in a file, so that every process of a replay agrees on the time.

    It stands still at the instant it was `set` to until it is `start`ed; from then on it runs at
    the pace of the wall clock. A replay sets it to each event's instant and starts it when it is
    done, so the system continues from the last replayed day.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def now(self) -> datetime:
        """Raises StateDamaged, which names the file, if it is missing or holds no time."""
        at, started = self._read()
        return at if started is None else at + (datetime.now(UTC) - started)

    def stands_still(self) -> bool:
        """Whether a replay has set it and not finished: the next one resumes from here."""
        return self._read()[1] is None

    def set(self, instant: datetime) -> None:
        """Stand still at `instant`."""
        self._write(instant, None)

    def start(self) -> None:
        """Run at the pace of the wall clock from the current instant."""
        self._write(self.now(), datetime.now(UTC))

    def _read(self) -> tuple[datetime, datetime | None]:
        """The instant at which the clock stood, and when it was started, if it was."""
        try:
            state = json.loads(self.path.read_bytes())
            at, started = datetime.fromisoformat(state["at"]), state["started_wall"]
            if at.tzinfo is None:
                raise ValueError(f"{state['at']!r} has no time zone")
            return at, None if started is None else datetime.fromisoformat(started)
        except (OSError, ValueError, TypeError, KeyError) as error:
            about = state_file("/".join(self.path.parts[-3:])) or OLD_CLOCK
            trouble = trouble_of(self.path, about, made=True)
            raise damaged(self.path, about, trouble or f"is damaged: {error}") from error

    def _write(self, at: datetime, started: datetime | None) -> None:
        state = {"at": at.isoformat(), "started_wall": started and started.isoformat()}
        first = not self.path.exists()
        write_atomically(self.path, json.dumps(state).encode(), durable=False)
        if first:
            note(self.path)


def utc(instant: datetime) -> datetime:
    """`instant` as aware UTC; raises InvalidRequest if it names no time zone."""
    if instant.tzinfo is None:
        raise InvalidRequest(
            f"instant {instant.isoformat()!r} has no time zone; write it as UTC, e.g. "
            f"{instant.replace(tzinfo=UTC).isoformat()!r}"
        )
    return instant.astimezone(UTC)


def declared_instant(instant: object) -> datetime:
    """`instant` as aware UTC, in whole microseconds, if an event may happen then.

    Raises InvalidRequest if it is not an instant, has no time zone or is outside
    `[EARLIEST, LATEST)`.
    """
    # pandas' missing timestamp is a datetime that does not equal itself.
    if not isinstance(instant, datetime) or instant != instant:
        raise InvalidRequest(f"it is {instant!r:.80}; expected a datetime in UTC")
    if instant.tzinfo is None:
        return utc(instant)
    # Compared before the conversion, which fails near the years 1 and 9999.
    if not EARLIEST <= instant < LATEST:
        raise InvalidRequest(f"it is {instant.isoformat()}; expected an instant from "
                             f"{EARLIEST.date()} on and before {LATEST.date()}")
    found = utc(instant)
    if type(found) is datetime:
        return found
    return datetime(found.year, found.month, found.day, found.hour, found.minute, found.second,
                    found.microsecond, UTC)


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


def in_words(span: timedelta) -> str:
    """A time span in words: `4 days`, `1.5 days`, `6 hours`, `10 minutes`."""
    for unit, size in (("day", timedelta(days=1)), ("hour", timedelta(hours=1)),
                       ("minute", timedelta(minutes=1))):
        if abs(span) >= size:
            number = round(span / size, 1)
            return f"{number:g} {unit}{'' if number == 1 else 's'}"
    return f"{span.total_seconds():.0f} seconds"
