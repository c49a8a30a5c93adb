"""Dagster's SQLite storages, which keep what they would make anew for every statement.

Dagster makes an SQLAlchemy engine for each connection, so that every statement is compiled
again, and looks for its own columns and tables with each event. A day's run stores about a
hundred events, a run over a year of partitions thousands. Files and formats are Dagster's own:
its classes read what these have written.
"""

import os
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import local
from typing import Any

import dagster as dg
from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType
from dagster._core.storage.event_log import ConsolidatedSqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.consolidated_sqlite_event_log import (
    SQLITE_EVENT_LOG_FILENAME,
)
from dagster._core.storage.local_compute_log_manager import (
    IO_TYPE_EXTENSION,
    LocalComputeLogManager,
)
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.sql import create_engine
from dagster._serdes import ConfigurableClassData
from dagster._utils import ensure_file, touch_file
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.engine.url import make_url
from sqlalchemy.event import listen
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from ml_assets.core.storage.files import identity, make_folder

_OPENED = "opened"
TIMEOUT_S = 5
"""As Dagster's own: how long another writer is waited for."""


class KeptEventLogStorage(ConsolidatedSqliteEventLogStorage):
    """Compiles each statement once a process, and stores a batch of events in one transaction.

    Its file appears with all its tables: Dagster makes none in a file that is there already, so
    one that a kill had left half made would stay so.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        if not (made := Path(base_dir) / f"{SQLITE_EVENT_LOG_FILENAME}.db").exists():
            make_folder(made.parent)
            with TemporaryDirectory(prefix="new-", dir=base_dir) as folder:
                ConsolidatedSqliteEventLogStorage(folder)
                with suppress(FileExistsError):  # another process was quicker
                    os.link(Path(folder) / made.name, made)
        super().__init__(base_dir, inst_data)

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
            self._batch.connection, self._batch.latest = connection, {}
            try:
                for event in events:
                    self.store_event(event)
                for event, event_id in self._batch.latest.values():
                    super()._store_asset_event(connection, event, event_id)
            finally:
                self._batch.connection = self._batch.latest = None

    def _store_asset_event(
        self, conn: Connection, event: dg.EventLogEntry, event_id: int
    ) -> None:
        """The row of an asset says what came last of each kind: of a batch that is noted once."""
        latest = getattr(self._batch, "latest", None)
        said = event.dagster_event
        if latest is None or said is None or said.asset_key is None:
            super()._store_asset_event(conn, event, event_id)
        else:
            kind = said.asset_key, said.event_type_value
            latest.pop(kind, None)
            latest[kind] = event, event_id

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


class KeptComputeLogs(LocalComputeLogManager):
    """What steps print goes to their files, and nowhere else.

    Dagster also copies it to the console, for which it starts four processes in each run. Files
    lie below the folder `base_dir`, where Dagster has them by default.
    """

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "KeptComputeLogs":
        return cls(str(Path(config_value["base_dir"]) / "storage"), inst_data=inst_data)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Generator[CapturedLogContext, None, None]:
        printed, said = (
            self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[kind])
            for kind in (ComputeIOType.STDOUT, ComputeIOType.STDERR))
        for path in (printed, said):
            ensure_file(path)
        with redirect_to_file(sys.stdout, printed), redirect_to_file(sys.stderr, said):
            yield CapturedLogContext(log_key)
        touch_file(self.complete_artifact_path(log_key))  # type: ignore[no-untyped-call]


def _engine(url: str) -> Engine:
    """Keeps a connection: a new one reads the whole schema again.

    Not beyond the file that it was opened on, which may be deleted and made anew, nor in a child.
    """
    path = Path(str(make_url(url).database))
    engine = create_engine(url, poolclass=QueuePool, pool_size=1, max_overflow=-1,
                           connect_args={"timeout": TIMEOUT_S, "check_same_thread": False})

    def note(_: Any, record: ConnectionPoolEntry) -> None:
        record.info[_OPENED] = os.getpid(), identity(path)

    def require_same(_: Any, record: ConnectionPoolEntry, __: Any) -> None:
        if record.info[_OPENED] != (os.getpid(), identity(path)):
            raise DisconnectionError(f"{path} is not the file that was opened")

    listen(engine, "connect", note)
    listen(engine, "checkout", require_same)
    return engine
