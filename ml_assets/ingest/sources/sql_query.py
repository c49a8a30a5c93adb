"""Rows that a SQL query gives: over files, in DuckDB, SQLite or PostgreSQL."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import field
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_assets.core.declaration import declaration
from ml_assets.core.errors import FetchError
from ml_assets.core.policies import require
from ml_assets.core.project import project
from ml_assets.ingest.sources.origins import BATCH, numbered, texts_of

if TYPE_CHECKING:
    import pyarrow as pa

POSTGRES = ("postgresql://", "postgres://")
POSTGRES_OPTIONS = "-c timezone=UTC -c default_transaction_read_only=on"
SQLITE = "sqlite:"
NAME = "query"


@declaration
class SqlQuery:
    """A query, in the dialect of the database that it asks.

    database: "" for DuckDB itself, whose queries may read files: `select * from 'orders.csv'`;
        the path of a DuckDB file; `sqlite:<path>`; `postgresql://...`, which needs the package
        psycopg. Paths are relative to the project. Whatever it is, it is only read.

    Rows come as the query orders them; without `order by` their order may change between runs.
    From SQLite and PostgreSQL every value comes as a text, as from a CSV file; the declared
    columns say what it becomes.
    """

    sql: str
    database: str = field(default="", repr=False)  # it may hold a password

    def __post_init__(self) -> None:
        require(bool(self.sql.strip()), self, "sql", self.sql, "a query")

    def fetch(self, cache: Path) -> Path:
        """The database's file, or the project's folder. Raises FetchError if it is missing."""
        if not self.database or self.database.startswith(POSTGRES):
            return project().folder
        path = project().folder / self.database.removeprefix(SQLITE)
        if not path.is_file():
            raise FetchError(f"the database {path} is not there")
        return path

    def batches(self, fetched: Path) -> Iterator[pa.RecordBatch]:
        """Raises FetchError with what the database says."""
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
                connection.execute("set timezone = 'UTC'")
                connection.execute("set file_search_path = $1", [str(project().folder)])
                found = connection.sql(self.sql)
                if found is None:
                    raise FetchError(f"{self._said} gives no rows: it is no query")
                yield from numbered(found.to_arrow_reader(BATCH), NAME)
        except duckdb.Error as error:
            raise self._refused(error) from error

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
