"""What the archives of a system's other streams tell the API in a replay, when it happens."""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ml_assets.core.data.streams import Stream
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.system import System
from ml_assets.ingest.archive import usable_since

AT_ONCE = 256
"""Events that are told in one request, at most."""


class Happening(NamedTuple):
    """An event of a stream that only feeds features."""

    stream: str
    event: ArchivedEvent

    @property
    def at(self) -> datetime:
        return self.event.event_timestamp


class OtherStreams:
    """The archived events of all streams but the asked one, merged in the order of time.

    None is held in memory but the next one of each stream.
    """

    def __init__(
        self, system: System, cache: Path, since: datetime, tables: Container[str] | None = None
    ) -> None:
        """since: events of before it are history; tables: of which streams; all unless given"""
        self._events = heapq.merge(*(
            _archived(system, stream, cache, since) for stream in system.streams
            if not stream.asked and (tables is None or stream.table in tables)
        ), key=lambda each: each.at)
        self._next = next(self._events, None)

    @property
    def next_at(self) -> datetime | None:
        """When the next one happened."""
        return None if self._next is None else self._next.at

    def due(self, until: datetime) -> Iterator[list[Happening]]:
        """Those that happened before `until` and were not given before, some of one stream at a
        time."""
        while some := list(islice(self._run(until), AT_ONCE)):
            yield some

    def _run(self, until: datetime) -> Iterator[Happening]:
        first = self._next
        while self._next is not None and first is not None and self._next.at < until and (
            self._next.stream == first.stream
        ):
            given, self._next = self._next, next(self._events, None)
            yield given


def _archived(
    system: System, stream: Stream, cache: Path, since: datetime
) -> Iterator[Happening]:
    for event in usable_since(system, stream.source, stream.source.fetch(cache), since):
        yield Happening(stream.name, event)
