"""Three receipts, as the published files hold them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_assets.ingest.sources import SqlQuery
from ml_assets.systems.shop import source

PRODUCTS = [
    (1, "PRODUCE", "National", "TROPICAL FRUIT", "BANANAS"),
    (2, "PRODUCE", "Private", "TROPICAL FRUIT", "BANANAS"),
    (3, "GROCERY", "National", "SOFT DRINKS", "COLA"),
    (4, "GROCERY", "National", "EGGS", "EGGS"),
    (5, "FUEL", "National", "COUPON/MISC ITEMS", "GASOLINE"),
    (6, "GROCERY", "National", "COUPON/MISC ITEMS", "COUPON"),
    (7, "GROCERY", "National", None, None),
    (8, "GROCERY", "Private", "BREAD", "ROLLS"),
]
LINES = [  # basket, household, product, quantity, when
    (10, 20, 1, 2, "2017-07-04 21:00"), (10, 20, 2, 1, "2017-07-04 21:00"),
    (10, 20, 3, 1, "2017-07-04 21:00"), (10, 20, 5, 9000, "2017-07-04 21:00"),
    (11, 20, 4, 1, "2017-07-05 21:00"), (11, 20, 6, 1, "2017-07-05 21:00"),
    (11, 20, 7, 1, "2017-07-05 21:00"),
    *((12, 21, product, 1, "2017-07-06 21:00") for product in (1, 3, 4, 8)),
]


@pytest.fixture
def rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[SqlQuery], list[dict[str, Any]]]:
    """What a query gives over these files."""
    household = [line[1] for line in LINES]
    tables = {
        "transactions": {
            "household_id": household, "store_id": [1] * len(LINES),
            "basket_id": [line[0] for line in LINES], "product_id": [line[2] for line in LINES],
            "quantity": [line[3] for line in LINES], "sales_value": [1.5] * len(LINES),
            "retail_disc": [0.25] * len(LINES), "coupon_disc": [0.0] * len(LINES),
            "coupon_match_disc": [0.0] * len(LINES), "week": [27] * len(LINES),
            "transaction_timestamp": [datetime.fromisoformat(line[4]) for line in LINES]},
        "products": dict(zip(
            ("product_id", "department", "brand", "product_category", "product_type"),
            map(list, zip(*PRODUCTS, strict=True)), strict=True)),
        "promotions": {
            "product_id": [1, 2, 2, 3], "store_id": [7, 7, 8, 7], "week": [1, 1, 1, 12],
            "display_location": ["3", "0", "0", "0"], "mailer_location": ["0", "A", "D", "H"]},
    }
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    monkeypatch.setattr(source, "FILES", {
        name: str(tmp_path / f"{name}.parquet") for name in tables})

    def read(query: SqlQuery) -> list[dict[str, Any]]:
        return [row for batch in query.batches(query.fetch(tmp_path)) for row in batch.to_pylist()]

    return read
