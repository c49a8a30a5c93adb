"""Rows in order of time that are kept from one day to the next: a day reads its own alone.

A source must be read and sorted whole, since any of its rows may be of any day. As long as it has
not changed since, the next day finds its rows in what was kept then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.core.data.tables import StampedRows, Table
from ml_assets.core.storage.files import replacing
from ml_assets.ingest.sources.ordering import SORT, OrderedRow, Ordering, between

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
"""Raise it if the same rows are kept otherwise."""


def rows_between(
    table: Table, ordering: Ordering, fetched: Path, kept: Path, since: datetime | None,
    until: datetime,
) -> Iterator[OrderedRow]:
    """The rows of `table` that are sorted in `[since, until)`, in order.

    kept: a path for them all, without a suffix; of older content nothing stays there
    """
    path = _kept(table, ordering, fetched, kept)
    if path is None:
        with ordering.ordered(table.rows.batches(fetched)) as batches:
            yield from ordering.read(between(batches, since, until))
        return
    with _reader(path, since, until) as batches:
        yield from ordering.read(batches)


def _kept(table: Table, ordering: Ordering, fetched: Path, kept: Path) -> Path | None:
    """The file with the rows in order, made if it is not there; None if the source may change
    unnoticed, or holds what no file does.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    stamp = table.rows.stamp(fetched) if isinstance(table.rows, StampedRows) else None
    if stamp is None:
        return None
    said = hashlib.sha256(f"{FORMAT} {stamp} {table}".encode()).hexdigest()[:16]
    path = kept.with_name(f"{kept.name}-{said}.parquet")
    if not path.exists():
        with ordering.ordered(table.rows.batches(fetched)) as batches:
            try:
                with (replacing(path) as temporary,
                      pq.ParquetWriter(temporary, batches.schema, compression="zstd") as file):
                    for batch in batches:
                        file.write_batch(batch)
            except (pa.ArrowNotImplementedError, pa.ArrowTypeError):
                return None
    for other in path.parent.glob(f"{kept.name}-*.parquet"):
        if other != path:
            other.unlink(missing_ok=True)
    return path


@contextmanager
def _reader(
    path: Path, since: datetime | None, until: datetime
) -> Iterator[Iterator[pa.RecordBatch]]:
    """Only those parts of the file that have such a row are read."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        index = file.schema_arrow.get_field_index(SORT)
        parts = []
        for number in range(file.num_row_groups):
            bounds = file.metadata.row_group(number).column(index).statistics
            if bounds is None or (bounds.min < until and (since is None or bounds.max >= since)):
                parts.append(number)
        yield between(file.iter_batches(row_groups=parts), since, until)
