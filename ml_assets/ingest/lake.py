"""The lake: tables of day partitions, each one Parquet file that is replaced whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ml_assets.core.errors import ContractViolation, StateDamaged
from ml_assets.core.storage.files import replacing
from ml_assets.core.storage.marker import note
from ml_assets.core.storage.mounts import current, current_all, listed
from ml_assets.core.time import DAY

INSTANT = pa.timestamp("us", tz="UTC")
"""How every instant is stored: Feast on DuckDB breaks on nanosecond UTC Parquet."""
BEFORE = b"before"
DAYS = "[0-9]*.parquet"
"""Names of the files of a table, as a pattern."""
READ_BYTES = 1 << 20
"""So much of each column is read from the disk at once."""


def later(name: str, dtype: pa.DataType, before: object) -> pa.Field:
    """A column that a table got later: rows of earlier partitions read as `before`."""
    return pa.field(name, dtype, metadata={BEFORE: json.dumps(before).encode()})


class Lake:
    """`<root>/<system>/<table>/<day>.parquet`.

    A partition is there whole or not at all: it is written beside its name and renamed.
    Days without rows have a partition too, so that "nothing happened" and "not yet
    ingested" differ.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def table(self, system: str, table: str) -> Path:
        """The folder of a table."""
        return self.root / system / table

    def partition(self, system: str, table: str, day: date) -> Path:
        """The file of one day."""
        return self.table(system, table) / f"{day.isoformat()}.parquet"

    def file(self, system: str, table: str, day: date) -> Path:
        """The same to be read: as it is now for all hosts."""
        return current(self.partition(system, table, day))

    def write(
        self, system: str, table: str, day: date, rows: pd.DataFrame | pa.Table,
        schema: pa.Schema,
    ) -> Path:
        """Replace one day by `rows`, in the columns and types of `schema`.

        Raises ContractViolation if the rows do not have them.
        """
        path = self.partition(system, table, day)
        write_parquet(_fitted(rows, schema, f"{system}/{table} of {day}"), path)
        note(self.root)
        return path

    @contextmanager
    def replacing(
        self, system: str, table: str, day: date, schema: pa.Schema
    ) -> Iterator[Callable[[pd.DataFrame], None]]:
        """The same portion by portion: give the block's function rows as often as there are some.

        The day is replaced once the block ends well; an error or a `kill -9` inside it leaves the
        day as it was. Of what was given only the latest portion is held in memory.
        """
        with (
            replacing(self.partition(system, table, day)) as temporary,
            pq.ParquetWriter(temporary, schema, compression="zstd") as file,
        ):
            yield lambda rows: file.write_table(
                _fitted(rows, schema, f"{system}/{table} of {day}")
            )

    def days(self, system: str, table: str) -> list[date]:
        """The days that have a partition, in order."""
        return sorted(map(_day_of, listed(self.table(system, table), DAYS)))

    def count(self, system: str, table: str, day: date) -> int:
        """How many rows a day has; none if it was not written."""
        path = self.file(system, table, day)
        if not path.exists():
            return 0
        with naming(path):
            return int(pq.read_metadata(path).num_rows)

    def read(
        self,
        system: str,
        table: str,
        schema: pa.Schema,
        *,
        start: date | None = None,
        end: date | None = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """The rows of the days in `[start, end)`, in the order of days; empty if none."""
        return frame_of(self.read_table(system, table, schema, start=start, end=end,
                                        columns=columns))

    def read_table(
        self, system: str, table: str, schema: pa.Schema, *, start: date | None = None,
        end: date | None = None, columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """The same as an Arrow table."""
        return self._read(system, table, schema, self._between(system, table, start, end), columns)

    def _between(
        self, system: str, table: str, start: date | None, end: date | None
    ) -> Iterable[date]:
        """Days in `[start, end)`, at least those that have a partition, in order."""
        if start is not None and end is not None:
            # Without a look at the folder, which has an entry for every day there ever was.
            return (start + n * DAY for n in range((end - start).days))
        return (day for day in self.days(system, table)
                if (start is None or day >= start) and (end is None or day < end))

    def read_days(
        self, system: str, table: str, schema: pa.Schema, days: Iterable[date], *,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """The rows of these days, in their order; a day without a partition has none."""
        return frame_of(self._read(system, table, schema, days, columns))

    def _read(
        self, system: str, table: str, schema: pa.Schema, days: Iterable[date],
        columns: Sequence[str] | None,
    ) -> pa.Table:
        paths = current_all([self.partition(system, table, day) for day in days])
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])
        parts = [
            # Twice as quick on small files as pq.read_table, which looks for a data set.
            _completed(_whole(path, schema.names), schema) for path in paths if path.exists()
        ]
        return pa.concat_tables([schema.empty_table(), *parts])

    def portions(
        self, system: str, table: str, schema: pa.Schema, day: date, *, size: int,
        columns: Sequence[str] | None = None,
    ) -> Iterator[pa.Table]:
        """The rows of one day in order, `size` at a time, the last ones fewer; none if the day
        has no partition. About one portion is held in memory.
        """
        path = self.file(system, table, day)
        if not path.exists():
            return
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])
        # Buffered: else a column of a row group, which may be the whole day, is read at once.
        with (
            naming(path), pq.ParquetFile(path, pre_buffer=False, buffer_size=READ_BYTES) as file
        ):
            for batch in file.iter_batches(batch_size=size, columns=schema.names):
                yield _completed(pa.Table.from_batches([batch]), schema)


def _day_of(path: Path) -> date:
    """The day whose file this is. Raises StateDamaged."""
    try:
        return date.fromisoformat(path.stem)
    except ValueError as error:
        raise StateDamaged(f"{path} is foreign: its name is no day. Move it out of the lake"
                           ) from error


def _whole(path: Path, columns: list[str]) -> pa.Table:
    with naming(path):
        return pq.ParquetFile(path).read(columns=columns)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in what Arrow says of it in the block. Raises StateDamaged."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        said = " ".join(str(error).split())[:200].rstrip(".")
        raise StateDamaged(
            f"the day {path} of the lake cannot be read: {said}. Restore it from a backup, or "
            "delete the file and materialise this day of the table again"
        ) from error


def frame_of(rows: pa.Table) -> pd.DataFrame:
    """For pandas. Integers with nulls stay integers, as objects: a float64 would round them."""
    frame: pd.DataFrame = rows.to_pandas(integer_object_nulls=True)
    return frame


def _fitted(rows: pd.DataFrame | pa.Table, schema: pa.Schema, where: str) -> pa.Table:
    try:
        if isinstance(rows, pa.Table):
            return rows.select(schema.names).cast(schema)
        return pa.Table.from_pandas(rows, schema=schema, preserve_index=False, safe=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, KeyError) as error:
        raise ContractViolation(
            f"{where}: the rows do not fit the table's schema: {error}"
        ) from error


def _completed(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """With the columns that came after the rows were written, if `later` declares them."""
    if rows.num_columns == len(schema):
        return rows
    for field in schema:
        if field.name not in rows.column_names and BEFORE in (field.metadata or {}):
            value = pa.scalar(json.loads(field.metadata[BEFORE]), field.type)
            rows = rows.append_column(field, pa.repeat(value, len(rows)))
    return rows.select([name for name in schema.names if name in rows.column_names])


def write_parquet(rows: pa.Table, path: Path, *, group: int | None = None) -> None:
    """Write `rows` to `path` atomically, in row groups of `group` rows (a million by default)."""
    with replacing(path) as temporary:
        pq.write_table(rows, temporary, compression="zstd", row_group_size=group)
