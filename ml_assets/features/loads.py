"""How far the views of the online store are loaded: the event log has a position for each load."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime

from ml_assets.core.errors import LogUnavailable
from ml_assets.core.settings import Settings
from ml_assets.features.service import View
from ml_assets.ingest.log.positions import loads_of
from ml_assets.ingest.log.served import from_us


def covered(log: sqlite3.Connection, view: View) -> tuple[datetime, datetime] | None:
    """The first stretch `[since, until)` of which all rows are loaded into `view`, as it is
    defined; None before its first load.

    log: a connection to the event log
    A load that died has covered what it had logged. What is loaded behind a gap counts for nothing
    until the gap is loaded too.
    """
    loads = sorted((load.since, load.until)
                   for load in loads_of(log, view.name, view.definition) if load.seq)
    if not loads:
        return None
    since, reached = loads[0]
    for begin, until in loads:
        if begin > reached:
            break
        reached = max(reached, until)
    return from_us(since), from_us(reached)


def is_loaded(settings: Settings) -> bool:
    """Whether anything was ever loaded, into whichever view. Raises LogUnavailable."""
    with _looking(settings) as log:
        return log is not None and log.execute(
            "select 1 from loads where view <> '' limit 1").fetchone() is not None


def loaded_until(settings: Settings, views: Sequence[View]) -> dict[str, datetime]:
    """The instant whose state the online store holds of each view, by name; those that were never
    loaded are left out. Raises LogUnavailable.
    """
    with _looking(settings) as log:
        found = {} if log is None else {view.name: covered(log, view) for view in views}
    return {name: stretch[1] for name, stretch in found.items() if stretch is not None}


def watermark(settings: Settings, views: Sequence[View]) -> datetime | None:
    """The instant that all `views` have reached; None until each was loaded once."""
    reached = loaded_until(settings, views)
    return min(reached.values()) if reached and len(reached) == len(views) else None


@contextmanager
def _looking(settings: Settings) -> Iterator[sqlite3.Connection | None]:
    """The log as it is, without making one or waiting for anybody; None if it has no loads."""
    path = settings.event_log
    if not path.exists():
        yield None
        return
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as log:
            # A log of the first releases gets this table from whoever writes it next.
            there = log.execute("select 1 from sqlite_master where name = 'loads'").fetchone()
            yield log if there else None
    except sqlite3.Error as error:
        raise LogUnavailable(f"cannot read the event log {path}: {error}") from error
