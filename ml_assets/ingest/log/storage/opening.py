"""Opens the log, wherever it is kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ml_assets.core.errors import LogUnavailable
from ml_assets.core.settings import Ack
from ml_assets.core.storage.database import Database
from ml_assets.core.storage.places import Place
from ml_assets.core.storage.sqlite import open_file
from ml_assets.ingest.log.storage.log_file import LogFile
from ml_assets.ingest.log.storage.log_storage import LogStorage
from ml_assets.ingest.log.storage.patience import Patience


def open_storage(place: Place, patience: Patience, ack: Ack) -> LogStorage:
    """The log at `place`, made if it is missing. Raises LogUnavailable."""
    if isinstance(place, Path):
        return LogFile(place, patience=patience, ack=ack)
    from ml_assets.ingest.log.storage.log_tables import LogTables

    return LogTables(place, patience)


@contextmanager
def looking(place: Place) -> Iterator[Database | None]:
    """The log as it is, without making one or waiting for anybody; None if it has no positions.

    Raises LogUnavailable, for an error of the block too.
    """
    if not isinstance(place, Path):
        from ml_assets.core.storage.postgres import has_tables, session

        with session(place) as database:
            yield database if has_tables(database, place) else None
        return
    if not place.exists():
        yield None
        return
    try:
        with closing(open_file(f"{place.as_uri()}?mode=ro", uri=True)) as log:
            # A log of the first releases gets this table from whoever writes it next.
            there = log.execute("select 1 from sqlite_master where name = 'loads'").fetchone()
            yield log if there else None
    except sqlite3.Error as error:
        raise LogUnavailable(f"cannot read the event log {place}: {error}") from error
