"""Events that are sent together get the answers that they would get one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ml_assets.core.feedback import Audit
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.time import DAY, EventClock, midnight
from ml_assets.core.truths import Complaints
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.replay.live_days import LiveDays
from ml_assets.replay.waves import Waves
from tests.serving.kit import serving
from tests.whole_loop import WHOLE, WholeLoop, whole_loop

LIVE = WHOLE.calendar.live_from


def purchase(number: int, minutes: float, shop: str, **changes: Any) -> ArchivedEvent:
    return replace(ArchivedEvent(
        event_id=f"e{number}", event_timestamp=LIVE + timedelta(minutes=minutes),
        request={"shop": shop, "note": "", "amount": 1.0 + number}, outcome=True), **changes)


def sizes(events: list[ArchivedEvent], until: datetime = LIVE + DAY,
          keys: tuple[str, ...] = ("shop",)) -> list[int]:
    """Of the waves into which the events are cut."""
    cut, start, found = Waves(replace(WHOLE, truth=LATER), [keys]), 0, list[int]()
    while start < len(events):
        found.append(len(cut.take(events, start, until)))
        start += found[-1]
    return found


LATER = Complaints(source="buyer", within=timedelta(days=2), maturity=timedelta(days=2))


def test_events_of_different_entities_go_together() -> None:
    shops = ["a", "b", "c", "a", "", "", "b"]
    events = [purchase(n, n, shop) for n, shop in enumerate(shops)]
    assert sizes(events) == [3, 4]
    assert sizes(events, keys=()) == [1] * 7, "of a view without keys all are one entity's"


def test_a_wave_ends_before_somebody_says_what_was_true() -> None:
    """What is said may change the features of those who come after."""
    events = [purchase(n, n, f"shop {n}", outcome=None) for n in range(6)]
    assert sizes(events, until=LIVE + timedelta(minutes=2.5)) == [3, 1, 1, 1]
    soon = [replace(event, outcome=True, known_at=LIVE + timedelta(minutes=3.5))
            for event in events]
    assert sizes(soon)[0] == 4


def test_a_wave_ends_before_an_audit_is_answered() -> None:
    """It is known when they are, and not which: halfway through the two days until silence."""
    events = [purchase(n, n * 60, f"shop {n}", outcome=False) for n in range(30)]
    quiet = replace(LATER, reported=0.0)
    for audit, first in ((None, 30), (Audit(share=0.01), 25)):
        cut = Waves(replace(WHOLE, truth=quiet, feedback=replace(WHOLE.feedback, audit=audit)),
                    [("shop",)])
        assert len(cut.take(events, 0, LIVE + 2 * DAY)) == first


def test_an_event_that_cannot_be_read_goes_alone() -> None:
    events = [purchase(n, n, f"shop {n}", outcome=None) for n in range(3)]
    events[1] = replace(events[1], request={"amount": "many"})
    assert sizes(events) == [1, 1, 1]


def test_live_days_come_back_as_they_were(tmp_path: Path) -> None:
    """In the order of time, whatever the archive's is, with all that is known of them."""
    events = [purchase(n, minutes, "a", known_at=LIVE + 3 * DAY, outcome=bool(n % 2))
              for n, minutes in enumerate([30, 2000, 10, -60])]
    days = LiveDays(events, LIVE, tmp_path)
    assert days.count() == 3
    assert [[each.event_id for each in day] for day in days.days(days.last or LIVE.date())] == [
        ["e2", "e0"]]
    assert days.day(LIVE.date()) == [events[2], events[0]]
    assert days.day((LIVE + 5 * DAY).date()) == []


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeLoop]:
    with whole_loop(tmp_path_factory.mktemp("waves")) as begun:
        yield begun


@pytest.mark.slow
def test_a_wave_s_answers_are_those_of_events_sent_one_by_one(loop: WholeLoop) -> None:
    """Also when each was accepted, which decides what training sees and when silence speaks."""
    clock = EventClock(loop.settings.clock_file(loop.system.name))
    events = [purchase(n, 7 * n, f"shop {n % 5}", outcome=None) for n in range(40)]
    cut, seen = Waves.of(loop.system, loop.settings), {}
    for kind, shift in (("waves", timedelta(0)), ("alone", 2 * DAY)):
        moved = [replace(each, event_id=f"{kind} {each.event_id}",
                         event_timestamp=each.event_timestamp + shift) for each in events]
        start = 0
        with serving(loop, direct=False) as api:
            while start < len(moved):
                wave = cut.take(moved, start, midnight(LIVE.date()) + shift + DAY)
                wave = wave if kind == "waves" else wave[:1]
                clock.set(wave[-1].event_timestamp)
                answer = api.post(f"/v1/{loop.system.name}/predict/batch", json={"events": [
                    {"event_id": each.event_id, "event": dict(each.request),
                     "event_timestamp": each.event_timestamp.isoformat()} for each in wave]})
                assert answer.status_code == 200, answer.text
                start += len(wave)
        log = EventLog(loop.settings.event_log)
        seen[kind] = [
            (each.event_timestamp - shift, each.accepted_at - shift, each.features_as_of - shift)
            for each in log.predictions(loop.system.name, LIVE + shift, LIVE + shift + DAY)]
        log.close()
    assert len(seen["waves"]) == 40 and seen["waves"] == seen["alone"]
    assert all(at == accepted for at, accepted, _ in seen["waves"])
