"""Where a system's events come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

Request = Mapping[str, object]
"""The JSON object that a client of the API posts for one event, as it came."""

Event = Mapping[str, object]
"""One parsed event: the columns that the system declares."""


@dataclass(frozen=True, kw_only=True)
class ArchivedEvent:
    """One event of a recorded history.

    `request` is what a live client would have posted for it, so history and live traffic take
    the same path; `event_timestamp` is when it happened, on the replay clock;
    `outcome` is the true label, as the target spells it (None if the archive does not know);
    `known_at` is when it became known (None if the archive does not know that: the system's truth
    says when then). `origin` says where the record was, for messages: `orders.csv:17`; `problem`
    says why it cannot be used, if the source knows.
    """

    event_id: str
    event_timestamp: datetime
    request: Request
    outcome: object
    known_at: datetime | None = None
    origin: str = ""
    problem: str | None = None


class Source(Protocol):
    """What a system must provide for its data. Cheap to build: the work happens in the calls."""

    def fetch(self, cache: Path) -> Path:
        """Download the recorded history into `cache`, verify it and return its path.

        Does nothing if it is already there. Raises FetchError, saying what to do.
        """
        ...

    def archive(self, fetched: Path) -> Iterator[ArchivedEvent]:
        """The recorded history in order of time."""
        ...

    def parse(self, request: Request) -> Event:
        """The event's columns. Raises Quarantined with the reason if there is none.

        Training and serving both call this one function, so it may read nothing but `request`.
        """
        ...


@runtime_checkable
class SkippingSource(Source, Protocol):
    """A source that need not make an event of each record that comes before those wanted."""

    def archive_since(self, fetched: Path, since: datetime) -> Iterator[ArchivedEvent]:
        """What `archive` gives of events that happened from `since` on, in the same order."""
        ...


@runtime_checkable
class GuardedSource(Source, Protocol):
    """A source that refuses of a client what it can read all the same.

    What was accepted is parsed again for as long as it is kept, by declarations that come later: if
    `parse` refused a column that has been dropped since, nothing before could be counted any more.
    """

    def require_known(self, request: Request) -> None:
        """Raise Quarantined for a part of `request` that the declaration does not know."""
        ...
