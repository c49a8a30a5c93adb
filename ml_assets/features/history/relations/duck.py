"""A DuckDB for one job: in UTC, within its memory, gone when the job is done."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ml_assets.core.errors import DeclarationError
from ml_assets.core.storage.sql import literal, name_of

Connection: TypeAlias = duckdb.DuckDBPyConnection

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one job may use.

    memory: bytes for what it works on, half of them DuckDB's and half numpy's; the answer
        itself, where it is asked for as one table, comes on top
    threads: of DuckDB; None for as many as there are cores
    scratch: the folder that takes what does not fit
    search: the folder in which SQL finds relative paths that the working directory lacks
    """

    memory: int
    threads: int | None = None
    scratch: Path = Path(tempfile.gettempdir())
    search: Path | None = None


def bytes_of(text: str, owner: str = "memory_limit") -> int:
    """`4GB` or `512 MiB` as bytes. Raises DeclarationError, naming `owner`."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", text)
    if found is None or found[2].upper() not in _UNITS:
        raise DeclarationError(f"{owner} is {text!r}; expected a size such as '4GB' or '512MiB'")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def half_of_memory() -> int:
    """Bytes: half of what the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


_LEAST = 2**28
"""Bytes: with less for a thread, DuckDB cannot sort wide rows even where it may spill."""


@contextmanager
def opened(limits: Limits) -> Iterator[Connection]:
    """An empty database in memory."""
    memory = max(limits.memory // 2, _LEAST)
    threads = min(limits.threads or os.cpu_count() or 1, memory // _LEAST)
    con = duckdb.connect(config={
        # Names in SQL are tables and files, never somebody's Python variables.
        "python_enable_replacements": "false",
        "memory_limit": f"{memory}B", "threads": str(threads),
        "temp_directory": str(limits.scratch),
    })
    try:
        con.execute("set TimeZone = 'UTC'")
        con.execute("set parquet_metadata_cache = true")
        if limits.search is not None and "," not in str(limits.search):
            con.execute(f"set file_search_path = {literal(limits.search)}")
        yield con
    finally:
        con.close()


def table_of(con: Connection, sql: str) -> pa.Table:
    """All rows that `sql` gives."""
    return pa.table(con.sql(sql))


def array_of(table: pa.Table, name: str) -> npt.NDArray[Any]:
    """A column without nulls."""
    # Not `to_numpy`: numpy asks for large pages, which makes it ten times as quick.
    chunks = [chunk.to_numpy() for chunk in table[name].chunks]
    return np.concatenate(chunks) if chunks else table[name].to_numpy()


def row_of(con: Connection, sql: str) -> tuple[Any, ...]:
    """The one row that `sql` gives."""
    (row,) = con.execute(sql).fetchall()
    return tuple(row)


def batches_of(con: Connection, sql: str, size: int = 2**17) -> pa.RecordBatchReader:
    """The rows that `sql` gives, read as they are asked for; one such reader at a time."""
    return con.sql(sql).to_arrow_reader(size)


def columns_of(con: Connection, relation: str) -> dict[str, str]:
    """The columns of a relation, each with DuckDB's name of its type."""
    rows = con.execute(f"describe select * from {relation}").fetchall()
    return {row[0]: row[1] for row in rows}


def names_of(columns: Iterable[str]) -> str:
    return ", ".join(name_of(column) for column in columns)


def micros(instant: datetime) -> int:
    """Microseconds since 1970; what names no zone is in UTC."""
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def micros_of(column: str, kind: str) -> str | None:
    """SQL for microseconds since 1970 of an expression of type `kind`; None where it has none.

    What names no zone is in UTC.
    """
    if kind in ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP", "DATE"):
        return f"epoch_us({column})"
    if kind in ("TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"):
        return f"epoch_us({column}::timestamp)"
    if kind in ("TIMESTAMPTZ_NS", "VARCHAR"):
        return f"epoch_us({column}::timestamptz)"
    return None
