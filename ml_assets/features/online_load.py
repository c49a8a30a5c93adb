"""Loading the online store: a view's rows of some days, and of whatever earlier day is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pyarrow as pa

from ml_assets.core.errors import NotReady
from ml_assets.core.settings import Settings
from ml_assets.core.time import DAY, midnight
from ml_assets.features.loads import covered
from ml_assets.features.online_store.following.kept import EVER, versions_in
from ml_assets.features.online_store.following.lake_stream import read_stream
from ml_assets.features.online_store.following.portions import covering, portions
from ml_assets.features.online_store.following.projection import Projection
from ml_assets.features.online_store.following.stretches import Followed
from ml_assets.features.online_store.redefining import pending, settle
from ml_assets.features.service import TableView, View
from ml_assets.features.store import open_backend, origins_of
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.served import from_us, to_us

TOGETHER = 5_000
"""Rows that are read together, at least, if there are so many."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """rows: events that had not been counted before; until: the instant the view now reaches."""

    rows: int
    until: datetime


def load_view(settings: Settings, view: View, days: Sequence[date]) -> Loaded:
    """Bring `view` in the online store to the end of the last of `days`, at least.

    Days not loaded yet come along, so that a view is loaded without gaps. An event that counts
    already, because it was served or loaded earlier, changes nothing: a load may be repeated, and
    may die half-way. Each portion gets a position of the event log, so that each prediction tells
    whether it has seen it. What no reader can ask about any more is let go, now and then, and not
    even read: a first load of a long history costs as much as its windows reach back. Raises
    NotReady where a day's table is missing.
    """
    clock, lake = settings.clock_of(view.system), Lake(settings.lake)
    with (closing(EventLog(settings.event_log)) as events,
          closing(open_backend(settings)) as store):
        view_id = store.register(view.name, view.definition)
        # The log remembers loads that a teardown or another definition has undone since.
        is_loaded = pending(store, view.windowed) is None and store.count(view_id) > 0
        before = covered(events.connection, view) if is_loaded else None
        stretch = _stretch(lake, view, days, before)
        until = midnight(stretch[-1]) + DAY
        now = min(to_us(until), to_us(clock.now()))
        if store.holds_much(view.windowed, view_id, now):
            store.expire(view.windowed, view_id, now)
        followed = Followed(view.windowed, view_id, view.system, view.table)
        projection = Projection(events.connection, store, [followed], origins_of(settings))
        projection.catch_up()
        oldest = projection.bound(followed)
        tables = _together(
            read_stream(lake, view.windowed, view.system, view.table, [day], served=False)
            for day in stretch if to_us(midnight(day) + DAY) > oldest)
        some = (each for table in tables for each in portions(view.windowed, table))
        new = sum(projection.load(followed, each) for each in covering(
            some, to_us(midnight(stretch[0])), to_us(until)))
        settle(store, view.windowed)
    return Loaded(rows=new, until=until)


def _together(days: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows, of many quiet days at once: each portion costs two transactions."""
    waiting: list[pa.Table] = []
    for rows in days:
        waiting.append(rows)
        if sum(map(len, waiting)) >= TOGETHER:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def load_table(settings: Settings, view: TableView, days: Sequence[date]) -> Loaded:
    """Bring the view of a table to the end of the last of `days`, and not beyond the clock.

    What became known since the load before it is loaded. Each portion gets a position of the event
    log, so that each prediction tells whether it has seen it; a load may be repeated, and may die
    half-way. Raises NotReady where a day's table is missing.
    """
    now = to_us(settings.clock_of(view.system).now())
    with (closing(EventLog(settings.event_log)) as events,
          closing(open_backend(settings)) as store):
        view_id = store.register(view.name, view.definition)
        followed = Followed(view.plain, view_id, view.system, view.table)
        projection = Projection(events.connection, store, [followed], origins_of(settings))
        projection.catch_up()
        before = [load.until for load in events.loads(view.name, view.definition) if load.seq]
        since, until = max(before, default=EVER), min(to_us(midnight(max(days)) + DAY), now)
        new = 0 if since >= until else sum(
            projection.load_versions(followed, each) for each in versions_in(
                Lake(settings.lake), view.plain, view.system, view.table, since, until))
    return Loaded(rows=new, until=from_us(max(since, until)))


def _stretch(
    lake: Lake, view: View, days: Sequence[date], before: tuple[datetime, datetime] | None
) -> list[date]:
    """The days to load, in order and without a gap to what was loaded before."""
    there = lake.days(view.system, view.table)
    first, last = min(days), max(days)
    if before is not None and there and before[0] <= midnight(there[0]):
        first = min(first, before[1].date())
    elif there:
        first = min(first, there[0])
    stretch = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    for day in stretch:
        if day not in there:
            raise NotReady(f"{view.system}/{view.table} of {day} is not in the lake; the online "
                           f"store is loaded in the order of days, so materialise it first")
    return stretch
