"""The replay itself: systems that read each other's views go through the same days together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, closing
from datetime import date, timedelta

from ml_assets.core.errors import NotReady
from ml_assets.core.time import DAY, LATEST, midnight
from ml_assets.features.manifest import load_manifest
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.replay.api import Client
from ml_assets.replay.journey import RESOLUTION, Journey
from ml_assets.replay.together.apis import running_api


def travel(journeys: Sequence[Journey]) -> None:
    """History, a first champion of each, then the live days, one by one.

    journeys: lenders of feature views before those who read them. What happens on a day happens in
    the order of time, whichever system it is about; then each closes the day, then each is asked
    whether it retrains. A system joins on the day on which it goes live.
    """
    for each in journeys:
        each.take_in_history()
    going = [each for each in journeys if not each.is_over]
    _require_together(journeys)
    if not going:
        return
    # The API takes ten seconds to start: the first training need not wait for it.
    with _apis(going) as apis:
        _begin([each for each in going if each.next_day is None], apis)
        starts = {each.system.name: first for each in going if (first := each.next_day)}
        day = min(starts.values(), default=date.max)
        last = max((each.until for each in going), default=date.min)
        while day < last:
            here = [each for each in going if each.system.name in starts
                    and starts[each.system.name] <= day < each.until]
            _begin([each for each in here if starts[each.system.name] == day], apis)
            live_through(here, day, apis)
            day += timedelta(days=1)
    for each in going:
        each.end()


def live_through(here: Sequence[Journey], day: date, apis: Mapping[str, Client]) -> None:
    """One day of all of them, in the order of time, and its end."""
    end = midnight(day) + DAY
    for each in here:
        each.open_day(day)
    while (waiting := sorted((each.next_at, place) for place, each in enumerate(here)
                             if each.next_at < end)):
        (at, place), *others = waiting
        until = others[0][0] if others else end
        each = here[place]
        each.advance(apis[each.system.name], max(until, at + RESOLUTION))
    for each in here:
        each.close_day(apis[each.system.name], day)
    for each in here:
        if each.asks:
            each.ask_sensors(apis[each.system.name])


def _apis(journeys: Sequence[Journey]) -> AbstractContextManager[Mapping[str, Client]]:
    return running_api(journeys[0].settings, [each.system for each in journeys])


def _begin(journeys: Sequence[Journey], apis: Mapping[str, Client]) -> None:
    for each in journeys:
        each.begin(apis[each.system.name])


def _require_together(journeys: Sequence[Journey]) -> None:
    """Raise NotReady if a system has been replayed further than one that reads its views: that one
    would see what was known only later.
    """
    for each in journeys:
        _require_untold(each)
    at = {each.system.name: _stands_at(each) for each in journeys}
    for each in journeys:
        for lender in load_manifest(each.settings).lenders(each.system):
            if at[lender.name] > at[each.system.name] + DAY:
                raise NotReady(
                    f"{lender.name!r} has been replayed up to {at[lender.name]}, and "
                    f"{each.system.name!r}, which reads its feature views, up to "
                    f"{at[each.system.name]}. Start both over: "
                    f"`ml-assets run {lender.name} {each.system.name} --fresh`")


def _require_untold(journey: Journey) -> None:
    """A system that was told along with others, and answered nothing, starts over to answer."""
    day, system = journey.next_day, journey.system
    if day is None or not journey.asks or not journey.settings.event_log.exists():
        return
    with closing(EventLog(journey.settings.event_log)) as log:
        later = [stream.name for stream in system.streams if next(log.told.between(
            system.name, stream.name, midnight(day) + DAY, LATEST), None) is not None]
    if later:
        raise NotReady(
            f"{system.name!r} is to go on from {day}, and was told later events of {later[0]!r}, "
            f"along with systems that read its feature views. Start all over: `ml-assets run "
            f"{' '.join([system.name, *_readers(journey)])} --fresh`")


def _readers(journey: Journey) -> list[str]:
    readers = load_manifest(journey.settings).readers(journey.system.name)
    return [each.name for each in readers]


def _stands_at(journey: Journey) -> date:
    """The day that comes next, of those on which it is live."""
    last = journey.system.calendar.last_day
    end = journey.until if last is None else min(journey.until, last + DAY)
    return max(journey.next_day or end, journey.system.calendar.go_live)
