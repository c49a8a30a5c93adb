"""Rows in Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.core.declaration import declaration
from ml_assets.core.errors import FetchError
from ml_assets.ingest.sources.origins import BATCH, numbered
from ml_assets.ingest.sources.places import File, fetched, matching, stamp_of

if TYPE_CHECKING:
    import pyarrow as pa


@declaration
class ParquetFiles:
    """One file, or those whose names match a pattern, in the order of their names.

    file: a path, relative to the project, or a `PackagedFile`
    pattern: whether `file` is a pattern of names, such as `orders/**/*.parquet`
    """

    file: File
    pattern: bool = False

    def fetch(self, cache: Path) -> Path:
        return fetched(self.file, cache, pattern=self.pattern)

    def stamp(self, fetched: Path) -> str | None:
        return stamp_of(matching(fetched, pattern=self.pattern))

    def batches(self, fetched: Path) -> Iterator[pa.RecordBatch]:
        """Raises FetchError for a file that is no Parquet, or has other columns than the first."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema: pa.Schema | None = None
        for path in matching(fetched, pattern=self.pattern):
            try:
                with pq.ParquetFile(path) as file:
                    found = file.schema_arrow.remove_metadata()
                    if schema is None:
                        schema = found
                    elif found != schema:
                        raise FetchError(f"{path} has the columns {_said(found)}; expected "
                                         f"{_said(schema)}, as in the file before it")
                    yield from numbered(file.iter_batches(BATCH), path.name)
            except (pa.ArrowException, OSError) as error:
                if isinstance(error, FetchError):
                    raise
                raise FetchError(f"{path} cannot be read as Parquet: {error}") from error


def _said(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)
