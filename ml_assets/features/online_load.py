"""Loading the online store: a view's rows of some days, and of whatever earlier day is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from ml_assets.core.errors import NotReady
from ml_assets.core.settings import Settings
from ml_assets.core.time import DAY, midnight
from ml_assets.features.manifest import View
from ml_assets.features.online_store.portions import load_rows
from ml_assets.features.online_store.redefining import pending, settle
from ml_assets.features.store import load_log, open_backend
from ml_assets.features.streams import read_stream
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.served import to_us


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """rows: events that had not been counted before; until: the instant the view now reaches."""

    rows: int
    until: datetime


def load_view(settings: Settings, view: View, days: Sequence[date]) -> Loaded:
    """Bring `view` in the online store to the end of the last of `days`, at least.

    Days not loaded yet come along, so that a view is loaded without gaps. An event that the
    store has counted already, because a prediction fed it or an earlier load did, changes
    nothing: a load may be repeated, and may die half-way. What is new gets positions of the event
    log, so that each prediction tells whether it has seen it. What no reader can ask about any
    more is let go. Raises NotReady where a day's table is missing.
    """
    EventLog(settings.event_log).close()  # its tables are there from now on
    clock, log, backend = settings.clock_of(view.system), load_log(settings), open_backend(settings)
    try:
        view_id = backend.register(view.name, view.definition)
        # The log remembers loads that a teardown or another definition has undone since.
        is_loaded = pending(backend, view.windowed) is None and backend.count(view_id) > 0
        stretch = _stretch(
            Lake(settings.lake), view, days, log.until(view) if is_loaded else None
        )
        until = midnight(stretch[-1]) + DAY
        load_id = log.begin(view, until, clock.now())
        new = 0
        for day in stretch:
            new += load_rows(
                view.windowed, backend, view_id, read_stream(settings, view, [day]))
        settle(backend, view.windowed)
        backend.expire(view.windowed, view_id, min(to_us(until), to_us(clock.now())))
        log.finish(load_id, clock.now())
    finally:
        backend.close()
        log.close()
    return Loaded(rows=new, until=until)


def _stretch(lake: Lake, view: View, days: Sequence[date], before: datetime | None) -> list[date]:
    """The days to load, in order and without a gap."""
    there = lake.days(view.system, view.table)
    first, last = min(days), max(days)
    if before is not None:
        first = min(first, before.date())
    elif there:
        first = min(first, there[0])
    stretch = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    for day in stretch:
        if day not in there:
            raise NotReady(f"{view.system}/{view.table} of {day} is not in the lake; the online "
                           f"store is loaded in the order of days, so materialise it first")
    return stretch
