"""Receipts become baskets that fill, and pages that know nothing of what is bought later."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ml_assets.ingest.sources import SqlQuery
from ml_assets.systems.shop import SHOP, source

Read = Callable[[SqlQuery], list[dict[str, Any]]]

def test_fuel_coupons_and_what_nobody_describes_are_no_groceries(rows: Read) -> None:
    found = rows(source.journey("select basket, grocery, article from sold"))
    assert sorted((row["basket"], row["grocery"], row["article"]) for row in found) == [
        ("10", "BANANAS", "1"), ("10", "BANANAS", "2"), ("10", "COLA", "3"), ("11", "EGGS", "4"),
        ("12", "BANANAS", "1"), ("12", "COLA", "3"), ("12", "EGGS", "4"), ("12", "ROLLS", "8")]


def test_a_basket_fills_up_to_the_till_each_grocery_once(rows: Read) -> None:
    puts = rows(source.purchases(1))
    of_basket = sorted((row for row in puts if row["put"].startswith("12-")),
                       key=lambda row: row["put_at"])
    till = datetime(2017, 7, 6, 21, tzinfo=UTC)
    assert [till - row["put_at"] for row in of_basket] == [
        timedelta(seconds=30 * left) for left in (4, 3, 2, 1)]
    assert [row["put"] for row in of_basket] == ["12-1", "12-2", "12-3", "12-4"]
    [bananas] = [row for row in puts if row["put"].startswith("10-")
                 and row["grocery"] == "BANANAS"]
    assert (bananas["quantity"], bananas["paid"], bananas["discount"]) == (3.0, 3.0, 0.5)


def test_a_share_of_the_households_is_always_the_same(rows: Read) -> None:
    assert {row["household"] for row in rows(source.purchases(10))} == {"20"}
    assert {row["household"] for row in rows(source.purchases(1))} == {"20", "21"}


def test_a_page_is_looked_at_between_two_puts_and_takes_what_came_after(
    rows: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "ASKED_AFTER", (0, 2))
    puts = rows(source.purchases(1))
    pages = rows(source.visits(1))
    assert sorted(row["visit"] for row in pages) == ["10/0", "11/0", "12/0", "12/2"]
    for page in pages:
        basket, _, held = page["visit"].partition("/")
        mine = [row for row in puts if row["put"].startswith(f"{basket}-")]
        assert sum(row["put_at"] < page["looked_at"] for row in mine) == int(held)
        assert sorted(page["taken"]) == sorted(
            row["grocery"] for row in mine if row["put_at"] > page["looked_at"])
        assert page["looked_at"] < page["sold_at"]


def test_promotions_hold_from_monday_on_by_the_shops_clocks(rows: Read) -> None:
    found = {row["grocery"]: row for row in rows(source.promoted())}
    bananas = found["BANANAS"]
    assert bananas["week_begins"] == datetime(2016, 12, 26, 5, tzinfo=UTC)
    assert (bananas["displayed"], bananas["mailed"]) == (
        pytest.approx(1 / 110), pytest.approx(2 / 110))
    assert found["COLA"]["week_begins"] == datetime(2017, 3, 13, 4, tzinfo=UTC)


def test_the_products_say_where_a_grocery_stands(rows: Read) -> None:
    found = {row["grocery"]: row for row in rows(source.products())}
    assert found["BANANAS"]["commodity"] == "TROPICAL FRUIT"
    assert found["BANANAS"]["own_brand"] == 0.5


@pytest.mark.corpus
def test_the_published_receipts_are_those_that_were_looked_at(tmp_path: Path) -> None:
    from ml_assets.core.settings import Settings

    query = source.journey("select count(*) as lines, count(distinct household) as households, "
                           "count(distinct grocery) as groceries from sold")
    [row] = [row for batch in query.batches(query.fetch(Settings().cache))
             for row in batch.to_pylist()]
    assert (row["lines"], row["households"], row["groceries"]) == (1_444_889, 2_467, 2_231)


def test_the_streams_share_the_columns_that_say_who_took_what() -> None:
    policy = SHOP.target.slates
    assert policy is not None and {kind.stream for kind in policy.taken} == {"purchases"}
