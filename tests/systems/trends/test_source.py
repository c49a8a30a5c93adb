"""A grocer's books of small receipts."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_assets.ingest.sources import SqlQuery
from ml_assets.systems.trends import source

LINES = [  # product, quantity, paid, week
    (1, 2, 3.0, 7), (1, 1, 2.0, 7), (2, 1, 4.0, 8), (3, 100, 50.0, 7),
]
PRODUCTS = [(1, "PRODUCE", "TROPICAL FRUIT", "BANANAS"), (2, "GROCERY", "EGGS", "EGGS"),
            (3, "FUEL", "COUPON/MISC ITEMS", "GASOLINE")]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two kinds of groceries that sell in two weeks, and fuel."""
    tables: dict[str, dict[str, list[Any]]] = {
        "transactions": {
            "household_id": [1] * 4, "store_id": [1] * 4, "basket_id": [1, 2, 3, 4],
            "product_id": [line[0] for line in LINES], "quantity": [line[1] for line in LINES],
            "sales_value": [line[2] for line in LINES], "retail_disc": [0.5] * 4,
            "coupon_disc": [0.0] * 4, "coupon_match_disc": [0.0] * 4,
            "week": [line[3] for line in LINES],
            "transaction_timestamp": [datetime(2017, 2, 8)] * 4},  # noqa: DTZ001 (as in the files)
        "products": {
            "product_id": [each[0] for each in PRODUCTS],
            "department": [each[1] for each in PRODUCTS], "brand": ["National"] * 3,
            "product_category": [each[2] for each in PRODUCTS],
            "product_type": [each[3] for each in PRODUCTS]},
        "promotions": {
            "product_id": [1, 1, 1], "store_id": [7, 8, 7], "week": [7, 7, 8],
            "display_location": ["3", "0", "0"], "mailer_location": ["D", "A", "0"]},
    }
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    monkeypatch.setattr(source, "FILES", {
        name: str(tmp_path / f"{name}.parquet") for name in tables})
    return tmp_path


def read(query: SqlQuery, folder: Path) -> dict[str, dict[str, Any]]:
    """The rows by what is called first in them."""
    rows = [row for batch in query.batches(query.fetch(folder)) for row in batch.to_pylist()]
    return {next(iter(row.values())): row for row in rows}


def test_each_grocery_is_asked_for_as_each_week_begins_and_fuel_never(files: Path) -> None:
    asked = read(source.asked(), files)
    assert {row["commodity"] for row in asked.values()} == {"TROPICAL FRUIT", "EGGS"}
    assert len(asked) == 2 * (source.LAST_WEEK - source.FIRST_ASKED + 1)
    fruit = asked["TROPICAL FRUIT 7"]
    assert (fruit["sold"], fruit["mailed"], fruit["front"], fruit["displayed"]) == (5, 2, 1, 1)
    assert asked["EGGS 7"]["sold"] == 0, "nothing sold is an outcome too"
    assert fruit["asked_at"].weekday() == 0


def test_a_week_is_booked_once_it_is_over_and_before_the_next_is_asked_for(files: Path) -> None:
    booked, asked = read(source.booked(), files), read(source.asked(), files)
    for name, row in asked.items():
        commodity, week = name.rsplit(" ", 1)
        assert booked[name]["sold"] == row["sold"]
        assert booked[name]["booked_at"] - row["asked_at"] == timedelta(days=6, hours=23)
        before = booked[f"{commodity} {int(week) - 1}"]
        assert row["asked_at"] - before["booked_at"] == timedelta(hours=1)
    assert booked["TROPICAL FRUIT 7"]["price"] == pytest.approx((5 + 2 * 0.5) / 3)
    assert booked["EGGS 7"]["price"] is None
