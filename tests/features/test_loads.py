"""The log of loads: the watermark, and what a view may have held at a moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ml_assets.features.engine.functions import parse_function
from ml_assets.features.engine.windows import Aggregate, WindowedView
from ml_assets.features.loads import LoadLog
from ml_assets.features.manifest import View

NOON = datetime(2024, 1, 5, 12, tzinfo=UTC)
ONE, TWO = datetime(2024, 1, 5, tzinfo=UTC), datetime(2024, 1, 6, tzinfo=UTC)
COUNTS = WindowedView(
    name="toy_shop_returns", keys=("shop",), timestamp="known_at",
    aggregates=(Aggregate(name="returns_1d", function=parse_function("count", "test"), column="",
                          window=86_400_000_000, slide=86_400_000_000),),
)
SHOP = View(name="toy_shop_returns", system="toy", table="labels", windowed=COUNTS,
            definition="1")
BUYER = replace(SHOP, name="toy_buyer_returns")
VIEWS = (SHOP, BUYER)


def minute(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LoadLog]:
    log = LoadLog(tmp_path / "loads.sqlite")
    yield log
    log.close()


def load(log: LoadLog, view: View, until: datetime, start: int, end: int | None) -> None:
    number = log.begin(view, until, minute(start))
    if end is not None:
        log.finish(number, minute(end))


def test_nothing_is_known_before_every_view_is_loaded(log: LoadLog) -> None:
    assert log.watermark(VIEWS) is None
    load(log, SHOP, ONE, 0, 1)
    assert log.watermark(VIEWS) is None
    load(log, BUYER, ONE, 1, 2)
    assert log.watermark(VIEWS) == ONE


def test_the_watermark_advances_only_after_the_last_view(log: LoadLog) -> None:
    for view in VIEWS:
        load(log, view, ONE, 0, 1)
    load(log, SHOP, TWO, 2, 3)
    assert log.watermark(VIEWS) == ONE
    load(log, BUYER, TWO, 3, None)
    assert log.watermark(VIEWS) == ONE, "a load that has not ended counts for nothing"
    load(log, BUYER, TWO, 4, 5)
    assert log.watermark(VIEWS) == TWO


def test_loading_an_old_day_again_does_not_turn_the_watermark_back(log: LoadLog) -> None:
    for until in (TWO, ONE):
        load(log, SHOP, until, 0, 1)
    assert log.watermark([SHOP]) == TWO


def test_a_view_that_is_declared_anew_starts_afresh(log: LoadLog) -> None:
    load(log, SHOP, TWO, 0, 1)
    assert log.watermark([replace(SHOP, definition="2")]) is None


def test_another_process_sees_the_watermark_at_once(log: LoadLog, tmp_path: Path) -> None:
    reader = LoadLog(tmp_path / "loads.sqlite")
    assert reader.watermark([SHOP]) is None
    load(log, SHOP, ONE, 0, 1)
    assert reader.watermark([SHOP]) == ONE
    load(log, SHOP, TWO, 2, 3)
    assert reader.watermark([SHOP]) == TWO
    reader.close()
