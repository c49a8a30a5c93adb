"""The rows of a table lie under the day on which each became known; a bad one fails alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from ml_assets.core.assets import keys
from ml_assets.core.data.columns import Column
from ml_assets.core.errors import DeclarationError, FetchError
from ml_assets.core.settings import Settings
from ml_assets.ingest.assets import build
from ml_assets.ingest.kept import store_table
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import QUARANTINE, table_schema
from tests.toy import SHOPS, TOY, RowsInMemory

FIRST = TOY.calendar.first_day
DAYS = [FIRST + timedelta(days=n) for n in range(7)]


def row(**of: Any) -> dict[str, Any]:
    return {"shop": "corner", "size": 3.0, "staff": 1, "kind": "street",
            "since": "2024-01-02T00:00Z", "told": "2024-01-02T00:00Z"} | of


def stored(settings: Settings, day: date) -> list[dict[str, Any]]:
    parts = Lake(settings.lake).portions("toy", "shops", table_schema(SHOPS), day, size=100)
    return [each for part in parts for each in part.to_pylist()]


def test_a_row_lies_under_the_day_on_which_it_became_known(settings: Settings) -> None:
    """What was known before the first day lies under that; every day has its file."""
    found = store_table(TOY, settings, SHOPS, DAYS)
    assert (found.usable, found.aside) == (3, 0)
    assert [[each["shop"] for each in stored(settings, day)] for day in DAYS] == [
        ["corner"], [], [], ["corner"], ["mall"], [], []]
    [later] = stored(settings, date(2024, 1, 4))
    assert later["event_timestamp"] == datetime(2024, 1, 3, tzinfo=UTC)
    assert later["known_at"] == datetime(2024, 1, 4, 12, tzinfo=UTC)
    assert (later["size"], later["staff"], later["kind"]) == (45.0, 3, "street")
    [mall] = stored(settings, date(2024, 1, 5))
    assert (mall["size"], mall["staff"]) == (None, None)


def test_a_day_is_the_same_alone_or_among_others(settings: Settings) -> None:
    store_table(TOY, settings, SHOPS, DAYS)
    together = [stored(settings, day) for day in DAYS]
    for day in DAYS:
        store_table(TOY, settings, SHOPS, [day])
    assert [stored(settings, day) for day in DAYS] == together


BAD = [
    ({"size": "3 m"}, "size is '3 m'; expected a number"),
    ({"size": "0"}, "size is 0; expected at least 1"),
    ({"staff": "2.5"}, "staff is"), ({"kind": "strete"}, "Closest: 'street'"),
    ({"shop": None}, "shop is None"), ({"since": None}, "since is missing"),
    ({"told": "soon"}, "told is 'soon'"), ({"since": "1000-01-01T00:00Z"}, "1900"),
]


@pytest.mark.parametrize(("bad", "says"), BAD, ids=repr)
def test_a_bad_row_is_set_aside_alone(bad: dict[str, Any], says: str, settings: Settings) -> None:
    texts = {"size": "3", "staff": "1"}
    rows = (row(**texts), row(**texts | bad), row(**texts, shop="mall"))
    found = store_table(TOY, settings, replace(SHOPS, rows=RowsInMemory(rows=rows)), DAYS)
    assert (found.usable, found.aside) == (2, 1)
    aside = Lake(settings.lake).read("toy", "quarantine_shops", QUARANTINE)
    assert says in aside["reason"][0] and aside["event_id"][0] == "row:2"


def test_a_table_that_cannot_be_read_at_all_says_so(settings: Settings) -> None:
    nowhere = replace(SHOPS, timestamp="sincs")
    with pytest.raises(FetchError, match=r"no column 'sincs'.*Closest: 'since'"):
        store_table(TOY, settings, nowhere, DAYS)
    rows = RowsInMemory(rows=(row(since="2024-01-02T00:00"),))
    with pytest.raises(DeclarationError, match="names no time zone"):
        store_table(TOY, settings, replace(SHOPS, rows=rows), DAYS)
    store_table(TOY, settings, replace(SHOPS, rows=rows, zone="UTC"), DAYS)


def test_a_table_is_an_asset_with_its_check(settings: Settings) -> None:
    result = dg.materialize(
        build(TOY), resources={"settings": settings},
        selection=dg.AssetSelection.assets(*keys(TOY, "shops")),
        tags={"dagster/asset_partition_range_start": "2024-01-01",
              "dagster/asset_partition_range_end": "2024-01-07"},
    )
    [check] = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("quarantine_is_small", True)
    assert sum(len(stored(settings, day)) for day in DAYS) == 3


def test_keys_must_be_there() -> None:
    columns = (*SHOPS.columns, Column(name="floor", dtype="integer", description="", optional=True))
    with pytest.raises(DeclarationError, match="that every row has"):
        replace(SHOPS, keys=("shop", "floor"), columns=columns)
    with pytest.raises(DeclarationError, match="the platform has tables of these names"):
        replace(SHOPS, name="labels")
