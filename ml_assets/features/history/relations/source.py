"""The Parquet files behind a Feast source, as a relation of DuckDB."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ml_assets.core.errors import DeclarationError, NotReady, unknown
from ml_assets.core.storage.mounts import current_folder
from ml_assets.core.storage.sql import file_of, name_of
from ml_assets.features.history.relations.duck import Connection, columns_of, micros_of, row_of
from ml_assets.features.history.relations.keys import Key, key_of

FILE, ROW = "file_index", "file_row_number"
"""DuckDB's names for where a row comes from: which of the files, which row of it."""


ROW_BITS = 40
PLACE = f"({FILE}::bigint << {ROW_BITS}) + {ROW}"
"""SQL for both in one number, which orders like the rows do in the files."""

UNKNOWN = -(2**62)
"""Microseconds: when a row was created that does not say so; before any instant."""


@dataclass(frozen=True)
class Source:
    """A table that lies in files.

    name: what people call it; path: where it lies, or ought to; files: in their order, the
    later ones winning where all else is equal; names: where a column is called otherwise
    than in the files, its name there; writer: the asset that writes it, if one does.
    """

    name: str
    path: Path
    files: tuple[str, ...]
    names: tuple[tuple[str, str], ...] = ()
    writer: str = ""

    def column(self, name: str) -> str:
        """The name in the files of the column that a feature view calls `name`."""
        return dict(self.names).get(name, name)

    def columns(self) -> list[tuple[str, str]]:
        """The columns of the newest file, with Arrow's names of their types. Raises NotReady."""
        self.require()
        schema = pq.read_schema(self.files[-1])
        return [(field.name, str(field.type)) for field in schema]

    def require(self) -> None:
        """Raises NotReady where there is no file yet."""
        if not self.files:
            raise NotReady(
                f"source {self.name!r} has no Parquet file at {self.path}: " + (
                    f"materialise the asset {self.writer!r}, which writes it, first"
                    if self.writer else "write it first, or correct the path of the source"
                )
            )

    def tells_values(self) -> bool:
        """Whether folders below its path tell the value of a column, such as `day=2024-03-01`."""
        below = len(self.path.parts)
        return any("=" in part for file in self.files for part in Path(file).parts[below:-1])


@dataclass(frozen=True)
class Relation:
    """A source that SQL can read: `sql` goes after FROM; `kinds` are DuckDB's names of types."""

    source: Source
    sql: str
    kinds: dict[str, str]

    def column(self, name: str) -> str:
        """SQL for the column that a feature view calls `name`. Raises UnknownName."""
        return f"s.{name_of(self._found(name))}"

    def key(self, name: str) -> Key:
        """The column that a feature view calls `name`, as a key."""
        return key_of(self.column(name), self.kind(name),
                      f"key {name!r} of source {self.source.name!r}", given=False)

    def kind(self, name: str) -> str:
        return self.kinds[self._found(name)]

    def micros(self, name: str) -> str:
        """SQL for the instant in a column, as microseconds since 1970 UTC."""
        kind = self.kind(name)
        sql = micros_of(self.column(name), kind)
        if sql is None:
            raise DeclarationError(
                f"source {self.source.name!r}: column {name!r} is {kind}; expected a timestamp"
            )
        return sql

    def created(self, name: str) -> str:
        """SQL for when a row was created, in microseconds; before all others if it is unknown."""
        return f"coalesce({self.micros(name)}, {UNKNOWN})"

    def compared(self, name: str, sign: str, micros: int) -> str:
        """SQL that compares the instant in a column with one, skipping files where it can."""
        kind = self.kind(name)
        made = {"TIMESTAMP WITH TIME ZONE": "make_timestamptz", "TIMESTAMP": "make_timestamp"}
        if kind in made:
            return f"{self.column(name)} {sign} {made[kind]}({micros}::bigint)"
        return f"{self.micros(name)} {sign} {micros}"

    def _found(self, name: str) -> str:
        column = self.source.column(name)
        if column not in self.kinds:
            raise unknown("column", column, self.kinds, f"Source {self.source.name!r} lacks it.")
        return column


def parquet_files(path: Path) -> tuple[str, ...]:
    """A file itself; of a folder all Parquet files, of a name with `*` those it means, by path.

    What is there under the very name is meant, and only `*` makes a pattern of another one:
    `?` and `[1]` stand for themselves. Names that begin with a dot or an underscore are not
    data, unless they tell the value of a column, as the folder `__log_date=2024-03-01` does.
    """
    if current_folder(path).is_file():
        return (str(path),)
    found: Iterable[Path]
    if path.is_dir():
        found = (each for each in path.rglob("*.parquet") if each.is_file())
        below = len(path.parts)
    else:
        # From the first part of the path that is a pattern and nothing's name.
        below = 1
        while below < len(path.parts) and Path(*path.parts[: below + 1]).exists():
            below += 1
        parts = path.parts[below:]
        if not any("*" in part for part in parts):
            return ()
        pattern = "/".join(re.sub(r"[?\[]", r"[\g<0>]", part) for part in parts)
        found = (each for each in Path(*path.parts[:below]).glob(pattern) if each.is_file())
    return tuple(sorted(
        str(each) for each in found
        if not any(part[0] in "._" and "=" not in part for part in each.parts[below:])
    ))


def relation_of(con: Connection, source: Source, declared: pa.Schema | None = None) -> Relation:
    """What SQL reads of a source.

    Where there is no file, an empty table with the `declared` columns; raises NotReady
    where nothing is declared.
    """
    if source.files:
        files = ", ".join(map(file_of, source.files))
        # Older files may lack a column that was added later; reading by name fills it.
        by_name = ", union_by_name = true" if len(source.files) > 1 else ""
        # DuckDB would take the value of a column from a folder above the source as well.
        hive = "" if source.tells_values() else ", hive_partitioning = false"
        sql = f"read_parquet([{files}]{by_name}{hive})"
    elif declared is None:
        source.require()
        raise AssertionError("a source without files is not ready")
    else:
        sql = name_of(f"nothing of {source.name}")
        places = pa.schema([(FILE, pa.uint64()), (ROW, pa.int64())])
        empty = pa.schema([*declared, *places]).empty_table()
        con.register(sql.strip('"'), empty)
    return Relation(source, sql, columns_of(con, sql))


def count_of(con: Connection, source: Source) -> int:
    """How many rows the files hold, by their footers."""
    if not source.files:
        return 0
    files = ", ".join(map(file_of, source.files))
    (rows,) = row_of(con, f"select sum(num_rows) from parquet_file_metadata([{files}])")
    return int(rows)
