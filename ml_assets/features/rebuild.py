"""The online state of a system's windowed views, made anew from the lake and the event log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice

from ml_assets.core.runtime.isolation import Fault, attempt
from ml_assets.core.settings import Settings
from ml_assets.core.storage.sqlite import writing
from ml_assets.core.system import System
from ml_assets.core.time import DAY
from ml_assets.features.manifest import View, load_manifest
from ml_assets.features.online_store.backend import expiry
from ml_assets.features.online_store.counting import AT_ONCE, event_row
from ml_assets.features.online_store.portions import portions
from ml_assets.features.online_store.redefining import define, forget
from ml_assets.features.online_store.sqlite.backend import SqliteState
from ml_assets.features.store import load_log
from ml_assets.features.streams import read_stream
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog, Prediction
from ml_assets.ingest.log.served import from_us, to_us
from ml_assets.ingest.posted import read_json

EVENTS = "events"
_FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """loaded: rows counted from the lake; served: events counted from the log alone"""

    view: str
    loaded: int
    served: int


class Rebuild:
    """Counts again whatever a reader can still ask about. Plain views stay as they are.

    days: for each view that was ever applied, the days of the lake that had been loaded
    """

    def __init__(self, settings: Settings, system: System) -> None:
        self._settings, self._system = settings, system
        self._now = to_us(settings.clock_of(system.name).now())
        with closing(EventLog(settings.event_log)) as log:
            there = SqliteState(log.connection).views()
            self.days = {
                view.name: self._days(view, log)
                for view in load_manifest(settings).service(system).views if view.name in there
            }

    @property
    def steps(self) -> int:
        """How often `run` says that it has got on."""
        return sum(len(days) + 1 for days in self.days.values())

    def run(self, step: Callable[[], None] = lambda: None) -> list[Rebuilt]:
        """Do it in one transaction: whatever stops it, the state is as it was before.

        Nobody else can write the event log meanwhile. Processes that read the views must be
        started again. Raises NotReady if the lake lacks what had been loaded.
        """
        views = load_manifest(self._settings).service(self._system).views
        with closing(EventLog(self._settings.event_log)) as log, writing(log.connection):
            return [self._view(view, log, step) for view in views if view.name in self.days]

    def _view(self, view: View, log: EventLog, step: Callable[[], None]) -> Rebuilt:
        windowed, state = view.windowed, SqliteState(log.connection)
        forget(state, view.name)
        define(state, windowed, loaded=None, now=self._now)
        view_id, loaded, served = state.views()[view.name].id, 0, 0
        for day in self.days[view.name]:
            for rows, note in portions(windowed, read_stream(self._settings, view, [day])):
                loaded += state.append(windowed, view_id, rows)
                # For the rows that came to the lake after their day had been loaded.
                note(log.connection)
            step()
        events = self._served(view, log) if view.table == EVENTS else iter(())
        while some := list(islice(events, AT_ONCE)):
            packed = [row for row in (event_row(windowed, each) for each in some) if row]
            served += state.append(windowed, view_id, packed)
        state.expire(windowed, view_id, self._now)
        step()
        return Rebuilt(view=view.name, loaded=loaded, served=served)

    def _days(self, view: View, log: EventLog) -> list[date]:
        with closing(load_log(self._settings)) as loads:
            ends = [to_us(until) for until in [loads.until(view)] if until is not None]
        # A load that died has counted some of a later day.
        ends += [load.until for load in log.loads(view.name, view.definition)]
        if not ends:
            return []
        first = self._since(view).date()
        last = (from_us(max(ends)) - timedelta(microseconds=1)).date()
        return [day for day in Lake(self._settings.lake).days(view.system, view.table)
                if first <= day <= last]

    def _since(self, view: View) -> datetime:
        """Before it, nothing was received that a reader can still ask about."""
        return from_us(expiry(view.windowed, self._now)[1]) - DAY

    def _served(self, view: View, log: EventLog) -> Iterator[Mapping[str, object]]:
        """The events that have positions of their own."""
        # All of them first: what is read must not see what is written.
        for each in list(log.predictions(self._system.name, self._since(view), _FOREVER)):
            event = attempt(self._parsed, each)
            if each.seq is not None and not isinstance(event, Fault):
                yield {**event, "event_id": each.event_id, "accepted_at": each.accepted_at,
                       "event_timestamp": each.event_timestamp}

    def _parsed(self, prediction: Prediction) -> Mapping[str, object]:
        return self._system.source.parse(read_json(prediction.request))

