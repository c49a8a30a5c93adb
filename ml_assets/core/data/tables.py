"""What is known beside the events, and changes slowly: products, places, weather."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ml_assets.core.data.columns import Column
from ml_assets.core.data.streams import require_free, require_fresh
from ml_assets.core.declaration import declaration
from ml_assets.core.policies import require

if TYPE_CHECKING:
    import pyarrow as pa


class KeptRows(Protocol):
    """Rows that are kept somewhere: files, a query. Cheap to build: the work is in the calls."""

    def fetch(self, cache: Path) -> Path:
        """Bring what has to be downloaded into `cache`; its path. Raises FetchError."""
        ...

    def batches(self, fetched: Path) -> Iterator[pa.RecordBatch]:
        """All rows, some at a time, in the order in which they are kept."""
        ...


@runtime_checkable
class StampedRows(Protocol):
    """Rows that can tell, without being read, whether they have changed."""

    def stamp(self, fetched: Path) -> str | None:
        """What tells their content from any other; None if that is not known now."""
        ...


@declaration
class Table:
    """Rows that describe something from an instant on, until a later row replaces them.

    keys: the columns that say what a row describes, together
    timestamp: the column of the instant from which a row holds, in `rows`
    known_at: the column of the instant at which the row could be known; None if that is
        `timestamp`
    ttl: a row older than this says nothing any more; None if it never expires
    zone: of instants that name none, as in "Europe/Berlin"; layout: how they are written, as for
        `strptime`, or "seconds", "milliseconds", "microseconds" since 1970; "" for ISO 8601
    fresh_within: how long after its end a day must be ingested; None if nobody waits for it
    """

    name: str
    description: str
    rows: KeptRows
    keys: tuple[str, ...]
    columns: tuple[Column, ...]
    timestamp: str
    known_at: str | None = None
    ttl: timedelta | None = None
    zone: str = ""
    layout: str = ""
    fresh_within: timedelta | None = None

    def __post_init__(self) -> None:
        owner = f"Table {self.name!r}"
        require(self.name.isidentifier() and self.name.islower(), self, "name", self.name,
                "a lower-case identifier")
        require_free(self, self.name)
        require(bool(self.keys), owner, "keys", self.keys, "at least one column")
        names = [column.name for column in self.columns]
        require(len(set(names)) == len(names), owner, "columns", names, "unique names")
        for key in self.keys:
            require(key in names, owner, "keys", key, f"one of the columns {names}")
        optional = [column.name for column in self.columns if column.optional or column.many]
        for key in self.keys:
            require(key not in optional, owner, "keys", key, "columns that every row has one of")
        require(self.ttl is None or self.ttl > timedelta(0), owner, "ttl", self.ttl,
                "a positive time")
        require_fresh(self, self.fresh_within)

    @property
    def quarantine(self) -> str:
        """The lake table of its rows that cannot be used."""
        return f"quarantine_{self.name}"
