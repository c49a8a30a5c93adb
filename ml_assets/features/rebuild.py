"""The views of a system in the online store, brought to the end of the event log.

What is lost is made anew from the log and the lake: views that the log knows and the store does
not, and those that have counted another log than this one.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import NamedTuple

import click

from ml_assets.core.errors import NotReady
from ml_assets.core.settings import Settings
from ml_assets.core.storage.database import Database
from ml_assets.core.system import System
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.manifest import load_manifest
from ml_assets.features.online_store.backend import View, digest_of, expiry, number_of
from ml_assets.features.online_store.following.lake_stream import Origins
from ml_assets.features.online_store.following.projection import Projection
from ml_assets.features.online_store.following.stretches import Followed
from ml_assets.features.online_store.latest_scores import TABLE as SCORED
from ml_assets.features.online_store.latest_scores import scores_view
from ml_assets.features.online_store.lmdb.backend import LmdbBackend
from ml_assets.features.online_store.redefining import define, forget
from ml_assets.features.scores import load_scores
from ml_assets.features.service import Service, TableView
from ml_assets.features.service import View as Windowed
from ml_assets.features.store import locked, open_backend, origins_of
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.positions import identity_of, knows_view, last_position, loads_of
from ml_assets.ingest.log.served import from_us, to_us

log = logging.getLogger(__name__)

WORTH_TELLING = 2000
"""Positions of the log that take longer to apply than anyone likes to wait without a word."""
TELL_EVERY = 5.0
_EVER = -(2**60)


class KeptView(NamedTuple):
    """A view in the online store, and the stream that it counts: a table of a system's lake."""

    view: View
    system: str
    table: str


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """entities: that something is kept of; position: of the event log, up to which all counts"""

    view: str
    entities: int
    position: int


def rebuild(settings: Settings, system: System) -> list[Rebuilt]:
    """Count again whatever a reader can still ask about; nothing if the log knows no view.

    Meanwhile those who read the views get no answer from them. Raises NotReady, and changes
    nothing, if the lake lacks what had been loaded.
    """
    manifest = load_manifest(settings)
    with (closing(EventLog(settings.event_log)) as events,
          closing(open_backend(settings)) as store):
        there, connection = store.views(), events.connection
        views = [each for each in kept_of(system, manifest.service(system), manifest.lent(system))
                 if each.view.name in there or _is_known(connection, each.view)]
        _require_days(settings, connection, views)
        with locked(settings):
            for each in views:
                _renew(settings, system, store, each)
        projection = projection_of(settings, system, connection, store, views)
        position = last_position(connection)
        return [Rebuilt(view=each.view.name, entities=store.count(each.id), position=position)
                for each in projection.views]


def recover(
    settings: Settings, system: System, views: Sequence[KeptView], connection: Database,
    store: LmdbBackend,
) -> None:
    """Make anew what of these views was lost, or has counted another log."""
    if not _lost(views, connection, store):
        return
    with locked(settings):  # another process may be at it
        for each in _lost(views, connection, store):
            log.warning("%s: the online store lacks the state of %s; it is counted again from "
                        "event log and lake", system.name, each.view.name)
            _renew(settings, system, store, each)


def projection_of(
    settings: Settings, system: System, connection: Database, store: LmdbBackend,
    views: Sequence[KeptView], origins: Origins | None = None,
) -> Projection:
    """These views, at the end of the log. Raises NotReady if one is not registered."""
    projection = Projection(
        connection, store,
        [Followed(view, number_of(store, view), whose, table) for view, whose, table in views],
        origins or origins_of(settings),
    )
    behind = projection.behind()
    with progress(f"{system.name}: counting", behind) as step:
        first = last_position(connection) - behind
        projection.catch_up(step=lambda reached: step(reached - first))
    return projection


def kept_of(
    system: System, service: Service, lent: Sequence[Windowed | TableView] = ()
) -> list[KeptView]:
    """All views that follow the log for a system: those of its service, those of it that only
    others read, its scores.
    """
    views = [KeptView(each.windowed if isinstance(each, Windowed) else each.plain, each.system,
                  each.table)
             for each in (*service.views, *(part.view for part in service.kept), *lent)]
    own = [] if system.scores_by is None else [KeptView(scores_view(system), system.name, SCORED)]
    return views + own


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Tells how much of `total` is done: a bar on a screen, lines in the log otherwise."""
    if total < WORTH_TELLING:
        yield lambda done: None
    elif sys.stderr.isatty():
        with click.progressbar(length=total, label=label, file=sys.stderr) as bar:
            yield lambda done: bar.update(done - bar.pos)
    else:
        said = monotonic()

        def say(done: int) -> None:
            nonlocal said
            if monotonic() - said > TELL_EVERY:
                said = monotonic()
                log.info("%s: %d of %d", label, done, total)

        yield say


def _lost(
    views: Sequence[KeptView], connection: Database, store: LmdbBackend
) -> list[KeptView]:
    there, own = store.views(), identity_of(connection)
    nothing = not any(each.view.name in there for each in views) and any(
        _is_known(connection, each.view) for each in views)
    found = []
    for each in views:
        view = each.view
        registered = there.get(view.name)
        if registered is None:
            is_lost = nothing or _is_known(connection, view)
        elif registered.digest != digest_of(view):
            continue  # for whoever reads it to say
        else:
            reached = store.watermark(own, [registered.id])
            is_lost = bool(store.sources([registered.id]) - {own}) or (
                reached > last_position(connection))
        if is_lost:
            found.append(each)
    return found


def _is_known(connection: Database, view: View) -> bool:
    return knows_view(connection, view.name, digest_of(view))


def _renew(settings: Settings, system: System, store: LmdbBackend, kept: KeptView) -> None:
    """The view as if it had just been declared."""
    view, whose, table = kept
    now = to_us(settings.clock_of(whose).now())
    forget(store, view.name)
    define(store, view, loaded=None, now=now)
    if isinstance(view, WindowedView):
        # What no window can reach any more is not even read.
        store.expire(view, number_of(store, view), now)
    elif table == SCORED:
        load_scores(settings, system, Lake(settings.lake).days(system.name, table))


def _require_days(
    settings: Settings, connection: Database, views: Sequence[KeptView]
) -> None:
    lake = Lake(settings.lake)
    for view, whose, table in views:
        if not isinstance(view, WindowedView):
            continue
        now, there = to_us(settings.clock_of(whose).now()), set(lake.days(whose, table))
        since = expiry(view, now)[1]
        for load in loads_of(connection, view.name, digest_of(view)):
            if load.since < _EVER or load.until <= since:
                continue
            day, last = from_us(load.since).date(), from_us(load.until - 1).date()
            while day <= last:
                if day not in there:
                    raise NotReady(f"{whose}/{table} of {day} is not in the lake, and "
                                   f"{view.name} had counted it; materialise it first")
                day += timedelta(days=1)
