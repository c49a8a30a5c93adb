"""What a forecast is made of: usual sales, and how a week differs from usual ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ml_assets.systems.trends import TRENDS
from ml_assets.systems.trends.compared import GIVES, compared
from ml_assets.training.fit import fit
from ml_assets.training.rows.labelled import LabelledRows
from ml_assets.training.rows.scoring import outputs_of_rows

READS = [*(f"sold_{weeks}w" for weeks in (1, 2, 3, 4, 8, 13)), "sold_std_8w",
         *(f"{name}_{weeks}w" for name in ("mailed", "front", "displayed") for weeks in (1, 4)),
         "price_1w", "price_13w", "commodity_paid_7d", "commodity_paid_28d",
         "mailed", "front", "displayed"]


def drawn(rows: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(4)
    return {name: draw.lognormal(6, 1, rows) for name in READS}


def test_a_thousand_times_as_large_compares_the_same() -> None:
    """So that what is learnt of large commodities holds for small ones; but of a few dollars."""
    small = drawn(40)
    large = {name: values * 1000 if "sold" in name or "paid" in name else values
             for name, values in small.items()}
    one, other = compared(small), compared(large)
    assert tuple(one) == GIVES
    for name in GIVES:
        np.testing.assert_allclose(one[name], other[name], rtol=0.06, atol=0.06, err_msg=name)


def test_what_is_missing_stays_missing_in_its_row_alone() -> None:
    rows = drawn(3)
    rows["sold_4w"][1] = np.nan
    found = compared(rows)
    assert np.isnan(found["change_1w"]).tolist() == [False, True, False]
    assert not np.isnan(found["dearer"]).any()


@pytest.mark.slow
def test_the_network_learns_that_promoted_weeks_sell_a_half_more() -> None:
    """Whatever the size; and its interval holds about nine of ten."""
    draw, rows = np.random.default_rng(5), 1500
    level, mailed = draw.uniform(1, 9, rows), draw.random(rows) < 0.3
    numbers: dict[str, Any] = {name: draw.normal(0, 0.1, rows) for name in GIVES}
    numbers |= {"sold_4w": np.expm1(level), "leaflet": mailed * 2.0, "mailed": mailed * 9.0,
                "front": np.zeros(rows), "displayed": np.zeros(rows)}
    sold = np.expm1(level + mailed * np.log(1.5) + draw.normal(0, 0.1, rows))
    names = tuple(numbers)
    data = LabelledRows(texts={}, dense=np.stack([*numbers.values()], 1).astype(np.float32),
                        codes=sold, feature_names=names)
    target = TRENDS.target
    scorer = fit(TRENDS.model, target, data.part(0, 1000)).scorer
    kept = data.part(1000, 1250)
    scorer = scorer.rescaled(target.calibrated(
        scorer.scale, kept.codes, outputs_of_rows(scorer, kept)))
    asked = data.part(1250, 1500)
    value, lower, upper = outputs_of_rows(scorer, asked).T
    expected = np.expm1(level[1250:] + mailed[1250:] * np.log(1.5))
    assert np.median(np.abs(value / expected - 1)) < 0.06
    held = np.mean((lower <= asked.codes) & (asked.codes <= upper))
    assert 0.82 < held < 0.97
