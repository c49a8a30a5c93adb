"""The lake in SQL: each table is a view, `lake.<system>.<table>`, with a column `day`.

The views live in a database in memory, so no connection locks anything or waits for another.
A view reads the files that are there when it is asked: a condition on `day` picks them by their
names, and only those are opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa

from ml_assets.core.storage.mounts import current_folder
from ml_assets.core.storage.sql import files_in, literal, name_of
from ml_assets.core.system import System
from ml_assets.ingest.lake import BEFORE, DAYS, INSTANT, Lake, frame_of
from ml_assets.ingest.tables import tables_of

CATALOG = "lake"

TYPES = {
    pa.string(): "varchar", pa.bool_(): "boolean", pa.int64(): "bigint", pa.float64(): "double",
    INSTANT: "timestamp with time zone",
}
TYPES |= {pa.list_(kind): f"{name}[]" for kind, name in {**TYPES, pa.float32(): "float"}.items()}
"""DuckDB's names of the types that columns of the lake have."""


@contextmanager
def open_lake(root: Path, systems: Iterable[System]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of its own to the lake in the folder `root`, see `attach_lake`."""
    with duckdb.connect() as connection:
        attach_lake(connection, root, systems)
        yield connection


def attach_lake(
    connection: duckdb.DuckDBPyConnection, root: Path, systems: Iterable[System]
) -> None:
    """Give `connection` the tables of `systems`, as `lake.<system>.<table>` or `<system>.<table>`.

    Instants are shown and cut into days in UTC. A table without a file is empty, with its columns,
    for as long as this connection lasts. Raises DeclarationError if DuckDB cannot read the folder.
    """
    lake = Lake(root)
    connection.execute(f"set TimeZone = 'UTC'; attach ':memory:' as {CATALOG}")
    for system in systems:
        owner = f"{CATALOG}.{name_of(system.name)}"
        connection.execute(f"create schema {owner}")
        for table, schema in tables_of(system).items():
            sql = _rows(current_folder(lake.table(system.name, table)), schema)
            connection.execute(f"create view {owner}.{name_of(table)} as {sql}")
    connection.execute(f"use {CATALOG}")


def select(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[object]
) -> pd.DataFrame:
    """The rows that `sql` gives, in the types of `Lake.read`.

    DuckDB's own `df` gives a list with a NaN as a masked array, which numpy's statistics refuse.
    """
    return frame_of(connection.sql(sql, params=list(parameters)).to_arrow_table())


def _rows(folder: Path, schema: pa.Schema) -> str:
    """SQL for the rows of a table, in the columns of `schema` and `day`."""
    types = [TYPES[field.type] for field in schema]
    if next(folder.glob(DAYS), None) is None:
        nothing = [f"null::{kind} as {name_of(field.name)}"
                   for field, kind in zip(schema, types, strict=True)]
        return f"select {', '.join([*nothing, 'null::date as day'])} where false"
    # Named columns instead of those of the first file: so files are not opened before they are
    # asked for, and a column that came later has its value in the older ones too.
    columns = ", ".join(
        f"{literal(field.name)}: {{name: {literal(field.name)}, type: {literal(kind)}, "
        f"default_value: {_before(field)}}}"
        for field, kind in zip(schema, types, strict=True)
    )
    return (
        "select * exclude (filename), parse_filename(filename, true)::date as day "
        f"from read_parquet({files_in(folder, DAYS)}, filename = true, "
        # A folder above the lake may be called `env=prod`, which is no column of ours.
        f"hive_partitioning = false, schema = map {{{columns}}})"
    )


def _before(field: pa.Field) -> str:
    """SQL for the value of a column in files written before there was one; see `lake.later`."""
    value = json.loads((field.metadata or {}).get(BEFORE, b"null"))
    return "null" if value is None else literal(value)
