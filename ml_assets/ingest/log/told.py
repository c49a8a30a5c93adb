"""Events that only feed features: told to the API, logged, and predicted by nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b

from msgspec import Struct

from ml_assets.core.storage.database import insertion
from ml_assets.ingest.log.positions import VIEW_LIST, PackedCounts, last_position
from ml_assets.ingest.log.served import from_us, to_us
from ml_assets.ingest.log.storage.log_storage import LogStorage

COLUMNS = "told_id, system, stream, event_id, event_timestamp, accepted_at, request, seq"
STORED = f"{COLUMNS}, counts"
INSERT = insertion("told", STORED)
LABELS = "labels"
"""The stream of what feedback has settled: a label is told to features as it becomes known."""


class ToldEvent(Struct, frozen=True, kw_only=True, gc=False):
    """One event of a stream that no predictions are made for.

    request: the client's JSON object, as it came
    seq: the log's position at which it counts; None if it is not logged yet
    """

    system: str
    stream: str
    event_id: str
    event_timestamp: datetime
    accepted_at: datetime
    request: str
    seq: int | None = None


class ToldLog:
    """The events told to all systems, in the file of the event log."""

    def __init__(self, file: LogStorage) -> None:
        self._file, self._db = file, file.connection
        self._views: set[bytes] = set()
        """The lists of views that are surely in the file."""

    def append(
        self, events: Sequence[ToldEvent], counts: PackedCounts | None = None
    ) -> list[ToldEvent]:
        """Store all of them in one transaction, or none, each at a position of its own.

        Returns what is stored for each: an event that is already there stays as it was first
        told, and that is returned for it.
        counts: as for `EventLog.append_counted`
        """
        if events and (counts is None or counts.list_id in self._views) and self._file.append(
            "told", STORED, lambda: _rows_from(1, events, counts)
        ) is not None:
            return list(events)
        with self._file.writing():
            stored = self._append(events, counts)
        self._views.update([counts.list_id] if counts is not None else [])
        return stored

    def _append(
        self, events: Sequence[ToldEvent], counts: PackedCounts | None
    ) -> list[ToldEvent]:
        if self._file.insert("told", STORED, self._rows(events, counts)):
            return list(events)
        # Others may have written in between.
        return [self._append_one(*each)
                for each in zip(events, self._rows(events, counts), strict=True)]

    def add(self, event: ToldEvent) -> None:
        """Store one in the transaction that is open; what is there stays."""
        [row] = self._rows([event], None)
        self._db.execute(INSERT, row)

    def find(self, system: str, stream: str, event_ids: Sequence[str]) -> dict[str, ToldEvent]:
        """Those of these events that were told before, by event id."""
        ids = [told_id(system, stream, event_id) for event_id in event_ids]
        rows = self._file.read_each(f"select {COLUMNS} from told where told_id", ids)
        return {each.event_id: each for each in map(_told_of, rows)}

    def between(
        self, system: str, stream: str, start: datetime, end: datetime
    ) -> Iterator[ToldEvent]:
        """Those of a stream accepted in `[start, end)`, in that order."""
        return map(_told_of, self._file.read(
            f"select {COLUMNS} from told where system = ? and stream = ? and accepted_at >= ?"
            " and accepted_at < ? order by accepted_at, event_id",
            system, stream, to_us(start), to_us(end),
        ))

    def count(self, system: str) -> dict[str, int]:
        """How many events each stream of a system has been told."""
        return {str(stream): int(str(count)) for stream, count in self._file.read(
            "select stream, count(*) from told where system = ? group by stream", system)}

    def streams(self, system: str) -> list[str]:
        """The streams that have been told anything: one look at the index for each."""
        found: list[str] = []
        while row := next(self._file.read(
            "select stream from told where system = ? and stream > ? order by stream limit 1",
            system, found[-1] if found else ""), None):
            found.append(str(row[0]))
        return found

    def _rows(
        self, events: Sequence[ToldEvent], counts: PackedCounts | None
    ) -> list[tuple[object, ...]]:
        if counts is not None:
            self._db.execute(VIEW_LIST, counts[:2])
        return _rows_from(last_position(self._db) + 1, events, counts)

    def _append_one(self, event: ToldEvent, row: tuple[object, ...]) -> ToldEvent:
        if self._db.execute(INSERT, row).rowcount:
            return event
        return self.find(event.system, event.stream, [event.event_id])[event.event_id]


def _rows_from(
    first: int, events: Sequence[ToldEvent], counts: PackedCounts | None
) -> list[tuple[object, ...]]:
    """Events as rows, at positions from `first` on."""
    packed = [None] * len(events) if counts is None else counts.packed
    return [(told_id(each.system, each.stream, each.event_id), each.system, each.stream,
             each.event_id, to_us(each.event_timestamp), to_us(each.accepted_at),
             each.request, seq, mine)
            for seq, (each, mine) in enumerate(zip(events, packed, strict=True), first)]


@lru_cache(maxsize=1024)  # asked for when an event is looked for and when it is stored
def told_id(system: str, stream: str, event_id: str) -> str:
    """One for each event of a stream: the log has one row for it, so it counts once."""
    return blake2b(f"{system}\0{stream}\0{event_id}".encode(), digest_size=12).hexdigest()


def _told_of(row: tuple[object, ...]) -> ToldEvent:
    _, system, stream, event_id, event_timestamp, accepted_at, request, seq = row
    return ToldEvent(
        system=str(system), stream=str(stream), event_id=str(event_id),
        event_timestamp=from_us(int(str(event_timestamp))),
        accepted_at=from_us(int(str(accepted_at))), request=str(request), seq=int(str(seq)),
    )
