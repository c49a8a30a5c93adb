"""A recorded history whose events are rows: of a CSV file, Parquet files, a SQL query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ml_assets.core.data.columns import Column, Dtype
from ml_assets.core.data.tables import KeptRows
from ml_assets.core.declaration import closest, declaration
from ml_assets.core.errors import Quarantined
from ml_assets.core.policies import require
from ml_assets.core.source import ArchivedEvent, Event, Request
from ml_assets.core.target import Label
from ml_assets.ingest.sources.cells import SourceClock, clock, posted_of, values_of
from ml_assets.ingest.sources.ordering import OrderedColumns, Ordering, between
from ml_assets.ingest.sources.places import noted, of_note

_SCHEMAS: dict[Dtype, dict[str, object]] = {
    "text": {"type": "string"}, "category": {"type": "string"}, "number": {"type": "number"},
    "integer": {"type": "integer"}, "boolean": {"type": "boolean"},
    "instant": {"type": "string", "format": "date-time"},
}


@declaration
class EventRows:
    """A `Source` over rows. A client posts the declared columns as a JSON object.

    columns: those of the stream; each is a column of `rows`
    timestamp: the column that says when an event happened
    key: the column that names an event; None if its file and line do: `orders.csv:17`
    label: the column of the outcome; None if the history knows none. label_dtype: what it holds;
        of booleans the spellings in `cells.YES` and `cells.NO` are read
    known_at: the column that says when the outcome became known; None if nothing does
    outcomes: rows that hold key, label and known_at, if those of the events do not. An event
        without a row has the outcome `otherwise`; of several the one known last counts
    otherwise: the outcome of an event that has none, as chargebacks list only the cards that were
        charged back; None if it is not known
    zone: of instants that name none: "UTC", "Europe/Berlin"
    layout: of instants, as for `strptime`, or what since 1970 they count, see `SourceClock`; ISO
        8601 if it is ""

    Rows need not be in order of time: they are put in order outside memory.
    """

    rows: KeptRows
    columns: tuple[Column, ...]
    timestamp: str
    key: str | None = None
    label: str | None = None
    label_dtype: Dtype = "boolean"
    known_at: str | None = None
    outcomes: KeptRows | None = None
    otherwise: Label | None = None
    zone: str = ""
    layout: str = ""

    def __post_init__(self) -> None:
        require(self.known_at is None or self.label is not None, self, "known_at", self.known_at,
                "none without a label")
        require(self.outcomes is None or (self.key is not None and self.label is not None), self,
                "outcomes", self.outcomes, "none without key and label, by which they are found")
        require(not self.zone or _is_zone(self.zone), self, "zone", self.zone,
                "a time zone such as 'UTC' or 'Europe/Berlin'")

    @property
    def request_schema(self) -> Mapping[str, object]:
        """What clients post, for the API's documentation."""
        def of(column: Column) -> dict[str, object]:
            one = {**_SCHEMAS[column.dtype], "description": column.description}
            if not column.many:
                return one
            length = {} if column.length is None else {
                "minItems": column.length, "maxItems": column.length}
            return {"type": "array", "items": one, **length}

        return {"type": "object", "additionalProperties": False,
                "properties": {column.name: of(column) for column in self.columns},
                "required": [column.name for column in self.columns if not column.optional]}

    def fetch(self, cache: Path) -> Path:
        """The rows' path; with outcomes, that of a note of both."""
        rows = self.rows.fetch(cache)
        if self.outcomes is None:
            return rows
        return noted({"rows": rows, "outcomes": self.outcomes.fetch(cache)}, cache)

    def archive(self, fetched: Path) -> Iterator[ArchivedEvent]:
        """In order of time; rows of one instant in their own order.

        A row that cannot be used is passed on with its problem. Raises DeclarationError for
        instants without a zone, FetchError for rows that cannot be read.
        """
        return self._archive(fetched, None)

    def archive_since(self, fetched: Path, since: datetime) -> Iterator[ArchivedEvent]:
        """Of rows before `since` nothing is made but their order."""
        return self._archive(fetched, since)

    def _archive(self, fetched: Path, since: datetime | None) -> Iterator[ArchivedEvent]:
        at = clock(self.zone, self.layout)
        paths = {"rows": fetched}
        if self.outcomes is not None:
            paths = of_note(fetched)
        ordering = Ordering(
            timestamp=self.timestamp, key=self.key, label=self.label, known_at=self.known_at,
            carried=tuple(column.name for column in self.columns),
            clock=clock(self.zone, self.layout),
        )
        outcomes = None if self.outcomes is None else self.outcomes.batches(paths["outcomes"])
        with ordering.ordered(self.rows.batches(paths["rows"]), outcomes) as batches:
            wanted = batches if since is None else between(batches, since, None)
            for columns in ordering.columns(wanted):
                yield from self._events(columns, at)

    def require_known(self, request: Request) -> None:
        """Raise Quarantined for what is no column, with the closest."""
        known = [column.name for column in self.columns]
        for name in request:
            if name not in known:
                raise Quarantined(f"the event has {name!r}, which is no column; expected "
                                  f"{', '.join(known)}.{closest(name, known)}")

    def parse(self, request: Request) -> Event:
        """The declared columns; the contract of the stream says what each may hold."""
        return {column.name: _taken(column, request.get(column.name)) for column in self.columns}

    def _events(self, rows: OrderedColumns, at: SourceClock) -> Iterator[ArchivedEvent]:
        names = [column.name for column in self.columns]
        cells = [posted_of(column, values, at)
                 for column, values in zip(self.columns, rows.cells, strict=True)]
        labels = ([None] * len(rows.at) if rows.label is None
                  else values_of(rows.label, self.label_dtype, at))
        named = rows.origin if rows.key is None else rows.key
        for event_id, happened, label, known_at, origin, problem, *row in zip(
            named, rows.at, labels, rows.known_at, rows.origin, rows.problem, *cells, strict=True
        ):
            yield ArchivedEvent(
                event_id=cast(str, event_id), event_timestamp=cast(Any, happened),
                request=dict(zip(names, row, strict=True)),
                outcome=self.otherwise if label is None else label, known_at=known_at,
                origin=origin, problem=problem,
            )


def _taken(column: Column, value: object) -> object:
    whole = column.dtype == "number" and isinstance(value, int) and not isinstance(value, bool)
    return float(cast(int, value)) if whole and abs(cast(int, value)) < 2**53 else value


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
