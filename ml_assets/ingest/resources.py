"""The Dagster resource `duckdb`: the lake in SQL, for any asset that asks for it."""

# An evaluated annotation would keep DuckDB's types alive to the very end of the process, where
# its bindings then print a page about leaks.
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import duckdb
from dagster_duckdb import DuckDBResource

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.ingest.lake_in_sql import attach_lake


def lake_resource(settings: Settings, systems: Sequence[System]) -> DuckDBResource:
    """A DuckDBResource whose connections see the tables of `systems`: `lake.<system>.outcomes`.

    Each connection is a database of its own in memory: it locks nothing, and what is created in
    it is gone when it closes.
    """

    class LakeResource(DuckDBResource):
        """The lake in SQL: `select * from lake.<system>.outcomes where day = '2024-08-30'`."""

        @contextmanager
        def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
            # Dagster's own leaves the connection open after an error.
            with super().get_connection() as connection, closing(connection):
                attach_lake(connection, settings.lake, systems)
                yield connection

    return LakeResource(database=":memory:")
