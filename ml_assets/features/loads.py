"""How far the views of the online store are loaded: the event log has a position for each load."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ml_assets.core.settings import Settings
from ml_assets.core.storage.database import Database
from ml_assets.features.service import View
from ml_assets.ingest.log.positions import loads_of
from ml_assets.ingest.log.served import from_us
from ml_assets.ingest.log.storage.opening import looking


def covered(log: Database, view: View) -> tuple[datetime, datetime] | None:
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
    with looking(settings.event_log) as log:
        return log is not None and log.execute(
            "select 1 from loads where view <> '' limit 1").fetchone() is not None


def loaded_until(settings: Settings, views: Sequence[View]) -> dict[str, datetime]:
    """The instant whose state the online store holds of each view, by name; those that were never
    loaded are left out. Raises LogUnavailable.
    """
    with looking(settings.event_log) as log:
        found = {} if log is None else {view.name: covered(log, view) for view in views}
    return {name: stretch[1] for name, stretch in found.items() if stretch is not None}


def watermark(settings: Settings, views: Sequence[View]) -> datetime | None:
    """The instant that all `views` have reached; None until each was loaded once."""
    reached = loaded_until(settings, views)
    return min(reached.values()) if reached and len(reached) == len(views) else None
