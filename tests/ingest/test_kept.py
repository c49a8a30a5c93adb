"""The rows of a table lie under the day on which each became known; a bad one fails alone."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from ml_assets.core.assets import keys
from ml_assets.core.data.columns import Column
from ml_assets.core.data.tables import Table
from ml_assets.core.errors import DeclarationError, FetchError
from ml_assets.core.settings import Settings
from ml_assets.ingest.assets import build
from ml_assets.ingest.kept import store_table
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.sources import CsvFile
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


@pytest.fixture
def on_file(settings: Settings, tmp_path: Path) -> Table:
    """SHOPS, kept in a file that was written a while ago."""
    path = tmp_path / "shops.csv"
    written(path, row(), row(shop="mall", told="2024-01-05T00:00Z"))
    return replace(SHOPS, rows=CsvFile(file=str(path)))


def written(path: Path, *rows: dict[str, Any], ago_s: float = 60) -> None:
    path.write_text("\n".join([",".join(rows[0]), *(",".join(map(str, each.values()))
                                                   for each in rows)]))
    os.utime(path, (time.time() - ago_s,) * 2)


def test_a_file_that_has_not_changed_is_read_once(
    on_file: Table, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every day finds the rows that it would find in the file; once that has changed, its new."""
    store_table(TOY, settings, on_file, DAYS)
    before = [stored(settings, day) for day in DAYS]
    with monkeypatch.context() as patched:
        patched.setattr(CsvFile, "batches", lambda *_: pytest.fail("it was read again"))
        for day in DAYS:
            store_table(TOY, settings, on_file, [day])
    assert [stored(settings, day) for day in DAYS] == before
    assert isinstance(on_file.rows, CsvFile) and isinstance(on_file.rows.file, str)
    written(Path(on_file.rows.file), row(shop="kiosk"), ago_s=50)
    store_table(TOY, settings, on_file, [DAYS[1]])
    assert [each["shop"] for each in stored(settings, DAYS[1])] == ["kiosk"]
    assert len(list((settings.cache / "in_order").glob("toy-*"))) == 1


def test_a_file_of_just_now_may_change_unnoticed_and_is_read_each_time(
    on_file: Table, settings: Settings
) -> None:
    assert isinstance(on_file.rows, CsvFile) and isinstance(on_file.rows.file, str)
    for shop in ("one", "two"):
        written(Path(on_file.rows.file), row(shop=shop), ago_s=0)
        store_table(TOY, settings, on_file, [DAYS[1]])
        assert [each["shop"] for each in stored(settings, DAYS[1])] == [shop]


@budget(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["", "soon", *(f"2024-01-0{n}T{n:02}:00Z" for n in range(1, 8)),
                                 "2023-01-01T00:00Z", "2024-02-01T00:00Z"]), max_size=12))
def test_days_that_are_read_from_kept_rows_are_those_of_the_source(told: list[str]) -> None:
    """Also rows without an instant, which are filed beside the row before them."""
    with TemporaryDirectory() as folder:
        here, rows = Settings(var=Path(folder) / "var", cache=Path(folder) / "cache"), [
            row(shop=f"s{place}", told=each) for place, each in enumerate(told)]
        path = Path(folder) / "shops.csv"
        written(path, *(rows or [row()]))
        table = replace(SHOPS, rows=CsvFile(file=str(path)))
        for day in DAYS:  # the first makes the copy
            store_table(TOY, here, table, [day])
        kept = [(stored(here, day), aside(here, day)) for day in DAYS]
        os.utime(path)  # changed just now: the source itself is read
        store_table(TOY, here, table, DAYS)
        assert [(stored(here, day), aside(here, day)) for day in DAYS] == kept


def aside(settings: Settings, day: date) -> list[dict[str, Any]]:
    parts = Lake(settings.lake).portions("toy", "quarantine_shops", QUARANTINE, day, size=100)
    return [each for part in parts for each in part.to_pylist()]
