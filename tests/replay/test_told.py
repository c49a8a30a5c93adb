"""In a replay the other streams are told in the order of time, from the day it begins."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.source import ArchivedEvent
from ml_assets.replay.told import AT_ONCE, OtherStreams
from tests.toy import TOY, VISITS, VisitSource

START = datetime(2024, 1, 8, tzinfo=UTC)
HOURS = st.lists(st.integers(-5, 50), max_size=30).map(sorted)


def archive(prefix: str, hours: list[int]) -> VisitSource:
    return VisitSource(history=tuple(
        ArchivedEvent(event_id=f"{prefix}{n}", event_timestamp=START + timedelta(hours=hour),
                      request={"shop": "corner"}, outcome=None)
        for n, hour in enumerate(hours)))


@given(visits=HOURS, clicks=HOURS, stops=HOURS)
def test_every_event_is_given_once_in_the_order_of_time(
    visits: list[int], clicks: list[int], stops: list[int]
) -> None:
    system = replace(TOY, streams=(
        TOY.asked, replace(VISITS, source=archive("v", visits)),
        replace(VISITS, name="clicks", source=archive("c", clicks))))
    told = OtherStreams(system, Path(), START)
    given_at, names = [], []
    for until in [*(START + timedelta(hours=hour) for hour in stops), START + timedelta(days=9)]:
        for some in told.due(until):
            assert len({each.stream for each in some}) == 1
            assert all(each.at < until for each in some)
            given_at += [each.at for each in some]
            names += [each.event.event_id for each in some]
    assert all(one <= other for one, other in pairwise(given_at))
    wanted = [f"{prefix}{n}" for prefix, hours in (("v", visits), ("c", clicks))
              for n, hour in enumerate(hours) if hour >= 0]
    assert sorted(names) == sorted(wanted)


def test_a_long_run_is_told_some_at_a_time() -> None:
    system = replace(TOY, streams=(
        TOY.asked, replace(VISITS, source=archive("v", [1] * (2 * AT_ONCE + 3)))))
    told = OtherStreams(system, Path(), START)
    sizes = [len(some) for some in told.due(START + timedelta(days=1))]
    assert sizes == [AT_ONCE, AT_ONCE, 3]
