"""Rows that a SQL query gives: over files, in DuckDB, SQLite or PostgreSQL."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import field
from datetime import date, datetime, time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ml_assets.core.declaration import declaration
from ml_assets.core.errors import FetchError
from ml_assets.core.policies import require
from ml_assets.core.project import project
from ml_assets.core.storage.sql import file_of, literal, name_of
from ml_assets.ingest.sources.origins import BATCH, numbered, texts_of
from ml_assets.ingest.sources.places import File, fetched, noted, of_note, stamp_of

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

POSTGRES = ("postgresql://", "postgres://")
POSTGRES_OPTIONS = "-c timezone=UTC -c default_transaction_read_only=on"
SQLITE = "sqlite:"
NAME = "query"
MEMORY = "1GB"
"""Of a query over files; what sorts and joins need beyond it is on disk."""


@declaration
class SqlQuery:
    """A query, in the dialect of the database that it asks.

    files: by the names that the query calls them, also inside packages: Parquet files end in
        `.parquet`, others hold separated values. It is then one of DuckDB's, and may read no
        other file
    database: "" for DuckDB itself, whose queries may read files: `select * from 'orders.csv'`;
        the path of a DuckDB file; `sqlite:<path>`; `postgresql://...`, which needs the package
        psycopg. Paths are relative to the project. Whatever it is, it is only read.

    Rows come as the query orders them. Without `order by` their order may change between runs, and
    with it which of two events of one instant comes first, and what is drawn after them.
    From SQLite and PostgreSQL every value comes as a text, as from a CSV file; the declared
    columns say what it becomes.
    """

    sql: str
    database: str = field(default="", repr=False)  # it may hold a password
    files: Mapping[str, File] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(bool(self.sql.strip()), self, "sql", self.sql, "a query")
        require(not (self.files and self.database), self, "files", sorted(self.files),
                "none with a database: a query reads one or the other")
        for name in self.files:
            require(name.isidentifier(), self, "files", name, "identifiers as names")

    def fetch(self, cache: Path) -> Path:
        """The database's file, or the project's folder; with files, that of a note of them.

        Raises FetchError if one is missing.
        """
        if self.files:
            return noted({name: fetched(file, cache, pattern=False)
                          for name, file in self.files.items()}, cache)
        if not self.database or self.database.startswith(POSTGRES):
            return project().folder
        path = project().folder / self.database.removeprefix(SQLITE)
        if not path.is_file():
            raise FetchError(f"the database {path} is not there")
        return path

    def stamp(self, fetched: Path) -> str | None:
        """Known of queries over `files`, which read nothing else."""
        files = stamp_of(sorted(of_note(fetched).values())) if self.files else None
        return files and hashlib.sha256(f"{files} {self.sql}".encode()).hexdigest()

    def batches(self, fetched: Path) -> Iterator[pa.RecordBatch]:
        """Raises FetchError with what the database says."""
        if self.files:
            return self._from_files(of_note(fetched))
        if self.database.startswith(POSTGRES):
            return self._from_postgres()
        if self.database.startswith(SQLITE):
            return self._from_sqlite(fetched)
        return self._from_duckdb(fetched)

    def _from_duckdb(self, fetched: Path) -> Iterator[pa.RecordBatch]:
        import duckdb

        try:
            with duckdb.connect(str(fetched) if self.database else ":memory:",
                                read_only=bool(self.database)) as connection:
                connection.execute("set file_search_path = $1", [str(project().folder)])
                yield from self._asked(connection)
        except duckdb.Error as error:
            raise self._refused(error) from error

    def _from_files(self, paths: Mapping[str, Path]) -> Iterator[pa.RecordBatch]:
        import duckdb

        try:
            with (TemporaryDirectory(prefix="ml_assets-query-") as scratch,
                  duckdb.connect(":memory:") as connection):
                connection.execute(f"set memory_limit = '{MEMORY}'")
                connection.execute(f"set temp_directory = {literal(scratch)}")
                connection.execute("set allowed_paths = $1", [[str(each) for each in
                                                               paths.values()]])
                connection.execute("set enable_external_access = false")
                for name, path in paths.items():
                    reader = "read_parquet" if path.suffix == ".parquet" else "read_csv"
                    connection.execute(
                        f"create view {name_of(name)} as from {reader}({file_of(path)})")
                yield from self._asked(connection)
        except duckdb.Error as error:
            raise self._refused(error) from error

    def _asked(self, connection: DuckDBPyConnection) -> Iterator[pa.RecordBatch]:
        connection.execute("set timezone = 'UTC'")
        rows = connection.sql(self.sql)
        if rows is None:
            raise FetchError(f"{self._said} gives no rows: it is no query")
        yield from numbered(rows.to_arrow_reader(BATCH), NAME)

    def _from_sqlite(self, fetched: Path) -> Iterator[pa.RecordBatch]:
        try:
            with closing(sqlite3.connect(f"{fetched.as_uri()}?mode=ro", uri=True)) as connection:
                yield from _texts(connection.execute(self.sql))
        except sqlite3.Error as error:
            raise self._refused(error) from error

    def _from_postgres(self) -> Iterator[pa.RecordBatch]:
        try:
            import psycopg
        except ImportError:
            raise FetchError("a PostgreSQL query needs the package psycopg: `pip install "
                             "'psycopg[binary]'`") from None
        try:
            # The cursor is the server's: with the client's own, all rows would come at once.
            with (psycopg.connect(self.database, options=POSTGRES_OPTIONS) as connection,
                  connection.cursor(name="ml_assets") as cursor):
                cursor.itersize = BATCH
                yield from _texts(cursor.execute(self.sql))
        except psycopg.Error as error:
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> FetchError:
        return FetchError(f"{self._said} failed: {' '.join(str(error).split())}")

    @property
    def _said(self) -> str:
        return f"the query {' '.join(self.sql.split())[:200]!r}"


def _texts(cursor: Any) -> Iterator[pa.RecordBatch]:
    names = [column[0] for column in cursor.description]
    return texts_of(names, _told(cursor))


def _told(cursor: Iterator[Sequence[object]]) -> Iterator[tuple[list[str | None], str, None]]:
    for number, row in enumerate(cursor, 1):
        yield [_text(value) for value in row], f"{NAME}:{number}", None


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, list | dict):
        return json.dumps(value, default=str)
    return str(value)
