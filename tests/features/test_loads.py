"""How far views are loaded, as the event log says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.settings import Settings
from ml_assets.features.engine.functions import parse_function
from ml_assets.features.engine.windows import Aggregate, WindowedView
from ml_assets.features.loads import is_loaded, loaded_until, watermark
from ml_assets.features.online_store.following.portions import Portion, covering
from ml_assets.features.service import View
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.positions import note_load
from ml_assets.ingest.log.served import to_us

ZERO = datetime(2024, 1, 4, tzinfo=UTC)
ONE, TWO, THREE = (ZERO + timedelta(days=n) for n in (1, 2, 3))
COUNTS = WindowedView(
    name="toy_shop_returns", keys=("shop",), timestamp="known_at",
    aggregates=(Aggregate(name="returns_1d", function=parse_function("count", "test"), column="",
                          window=86_400_000_000, slide=86_400_000_000),),
)
SHOP = View(name="toy_shop_returns", system="toy", table="labels", windowed=COUNTS,
            definition="1")
BUYER = replace(SHOP, name="toy_buyer_returns")
VIEWS = (SHOP, BUYER)


@pytest.fixture
def log(settings: Settings) -> Iterator[EventLog]:
    with closing(EventLog(settings.event_log)) as log:
        yield log


def load(log: EventLog, view: View, since: datetime, until: datetime) -> None:
    note_load(log.connection, view.name, view.definition, to_us(since), to_us(until))


def test_an_installation_without_a_log_has_loaded_nothing(settings: Settings) -> None:
    """And a look makes none."""
    assert loaded_until(settings, VIEWS) == {} and watermark(settings, VIEWS) is None
    assert not is_loaded(settings)
    assert not settings.event_log.exists()
    EventLog(settings.event_log).close()
    assert not is_loaded(settings)


def test_the_watermark_is_that_of_the_view_that_is_furthest_behind(
    settings: Settings, log: EventLog
) -> None:
    load(log, SHOP, ZERO, TWO)
    assert is_loaded(settings)
    assert watermark(settings, VIEWS) is None
    load(log, BUYER, ZERO, ONE)
    assert watermark(settings, VIEWS) == ONE
    load(log, BUYER, ONE, THREE)
    assert watermark(settings, VIEWS) == TWO


def test_what_lies_behind_a_gap_counts_once_the_gap_is_loaded(
    settings: Settings, log: EventLog
) -> None:
    load(log, SHOP, ZERO, ONE)
    load(log, SHOP, TWO, THREE)
    assert loaded_until(settings, [SHOP]) == {SHOP.name: ONE}
    load(log, SHOP, ONE, TWO)
    assert loaded_until(settings, [SHOP]) == {SHOP.name: THREE}


def test_loading_an_old_day_again_does_not_turn_the_watermark_back(
    settings: Settings, log: EventLog
) -> None:
    load(log, SHOP, ZERO, TWO)
    load(log, SHOP, ZERO, ONE)
    assert watermark(settings, [SHOP]) == TWO


def test_a_view_that_is_declared_anew_starts_afresh(settings: Settings, log: EventLog) -> None:
    load(log, SHOP, ZERO, TWO)
    assert watermark(settings, [replace(SHOP, definition="2")]) is None


@given(st.lists(st.integers(0, 200), max_size=12, unique=True), st.integers(0, 100),
       st.integers(100, 200))
def test_portions_cover_all_that_was_asked_for_without_a_gap(
    instants: list[int], since: int, until: int
) -> None:
    """Whatever is filed where: also outside of what was asked for, where the lake has it."""
    some = [Portion([], [at], at, at + 1) for at in sorted(instants)]
    covered = list(covering(some, since, until))
    assert [each.event_ids for each in covered if each.event_ids] == [[at] for at in
                                                                      sorted(instants)]
    assert covered[0].since <= since and covered[-1].until >= until
    assert all(one.until == other.since for one, other in pairwise(covered))
    assert all(portion.since <= at < portion.until
               for portion in covered for at in portion.event_ids if isinstance(at, int))
