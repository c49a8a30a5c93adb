"""Dagster's SQLite storages, which keep what they would make anew for every statement.

Dagster makes an SQLAlchemy engine for each connection, so that every statement is compiled
again, and looks for its own columns and tables with each event. A day's run stores about a
hundred events, a run over a year of partitions thousands. Files and formats are Dagster's own:
its classes read what these have written.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from threading import local
from typing import Any

import dagster as dg
from dagster._core.storage.event_log import ConsolidatedSqliteEventLogStorage
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.sql import create_engine
from dagster._serdes import ConfigurableClassData
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import NullPool

TIMEOUT_S = 5
"""As Dagster's own: how long another writer is waited for."""


class KeptEventLogStorage(ConsolidatedSqliteEventLogStorage):
    """Compiles each statement once a process, and stores a batch of events in one transaction."""

    @cached_property
    def _engine(self) -> Engine:
        return _engine(self._conn_string)

    @cached_property
    def _batch(self) -> local:
        return local()

    @cached_property
    def _tables(self) -> set[str]:
        """Those that are surely there: none is ever dropped."""
        return set()

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        held = getattr(self._batch, "connection", None)
        if held is not None:
            yield held
            return
        with self._engine.connect() as connection, connection.begin():
            yield connection

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        with self._connect() as connection:
            self._batch.connection = connection
            try:
                for event in events:
                    self.store_event(event)
            finally:
                self._batch.connection = None

    def has_table(self, table_name: str) -> bool:
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def _has_asset_key_index_cols_on_connection(self, conn: Connection) -> bool:
        return self._has_index_columns

    @cached_property
    def _has_index_columns(self) -> bool:
        with self._engine.connect() as connection:
            return bool(super()._has_asset_key_index_cols_on_connection(connection))


class KeptRunStorage(SqliteRunStorage):
    """The same of runs, below the folder `base_dir`, where Dagster has them by default."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "KeptRunStorage":
        return cls.from_local(str(Path(config_value["base_dir"]) / "history"), inst_data)

    @cached_property
    def _engine(self) -> Engine:
        return _engine(self._conn_string)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with self._engine.connect() as connection, connection.begin():
            yield connection


def _engine(url: str) -> Engine:
    # Without a pool: the files may be deleted and made anew, and other processes write them.
    return create_engine(url, poolclass=NullPool, connect_args={"timeout": TIMEOUT_S})
