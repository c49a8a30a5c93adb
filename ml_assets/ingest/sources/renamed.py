"""Rows under other column names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.core.data.tables import KeptRows, StampedRows
from ml_assets.core.declaration import closest, declaration
from ml_assets.core.errors import FetchError

if TYPE_CHECKING:
    import pyarrow as pa


@declaration
class Renamed:
    """`rows` whose columns are called otherwise, because a column's name must be an identifier.

    names: the name as it is kept, and what it becomes: {"Amount (EUR)": "amount"}
    """

    rows: KeptRows
    names: Mapping[str, str]

    def fetch(self, cache: Path) -> Path:
        return self.rows.fetch(cache)

    def stamp(self, fetched: Path) -> str | None:
        return self.rows.stamp(fetched) if isinstance(self.rows, StampedRows) else None

    def batches(self, fetched: Path) -> Iterator[pa.RecordBatch]:
        """Raises FetchError if a column is missing."""
        for batch in self.rows.batches(fetched):
            there = batch.schema.names
            for name in self.names:
                if name not in there:
                    raise FetchError(f"there is no column {name!r} to be called "
                                     f"{self.names[name]!r}.{closest(name, there)}")
            yield batch.rename_columns([self.names.get(name, name) for name in there])
