"""The recorded events of the live days, in a file for each: a replay holds one day in memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from pathlib import Path

from ml_assets.core.source import ArchivedEvent

AT_ONCE = 10_000


class LiveDays:
    """Read once, in any order, and given back day by day."""

    def __init__(
        self, history: Iterable[ArchivedEvent], live_from: datetime, folder: Path
    ) -> None:
        """Read `history` once and keep its live events in `folder`, which is the caller's."""
        self._folder, self._counts = folder, Counter[date]()
        held: list[ArchivedEvent] = []
        for event in history:
            if event.event_timestamp >= live_from:
                held.append(event)
            if len(held) == AT_ONCE:
                self._keep(held)
                held = []
        self._keep(held)

    def _keep(self, events: list[ArchivedEvent]) -> None:
        by_day: dict[date, list[ArchivedEvent]] = {}
        for event in events:
            by_day.setdefault(event.event_timestamp.date(), []).append(event)
        for day, some in by_day.items():
            self._counts[day] += len(some)
            with self._path(day).open("a") as file:
                file.writelines(f"{_written(event)}\n" for event in some)

    def count(self, until: date = date.max) -> int:
        """How many events happened before the day `until`."""
        return sum(count for day, count in self._counts.items() if day < until)

    @property
    def last(self) -> date | None:
        """The last day that has an event."""
        return max(self._counts, default=None)

    def day(self, day: date) -> list[ArchivedEvent]:
        """The events of a day, in the order of time."""
        if not self._counts[day]:
            return []
        with self._path(day).open() as file:
            return sorted(map(_read, file), key=lambda event: event.event_timestamp)

    def days(self, until: date, *, since: date = date.min) -> Iterator[list[ArchivedEvent]]:
        """The events of each day in `[since, until)` that has some, in order."""
        for day in sorted(self._counts):
            if since <= day < until:
                yield self.day(day)

    def _path(self, day: date) -> Path:
        return self._folder / f"{day}.jsonl"


def _written(event: ArchivedEvent) -> str:
    """As JSON on one line, which a request is in any case."""
    known_at = None if event.known_at is None else event.known_at.isoformat()
    return json.dumps([event.event_id, event.event_timestamp.isoformat(), dict(event.request),
                       event.outcome, known_at])


def _read(line: str) -> ArchivedEvent:
    event_id, at, request, outcome, known_at = json.loads(line)
    return ArchivedEvent(
        event_id=event_id, event_timestamp=datetime.fromisoformat(at), request=request,
        outcome=outcome, known_at=None if known_at is None else datetime.fromisoformat(known_at),
    )
