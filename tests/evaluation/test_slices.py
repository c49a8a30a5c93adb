"""Laws of slices: SQL conditions over the rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml_assets.core.errors import DeclarationError
from ml_assets.core.policies import Slice
from ml_assets.evaluation.slices import rows_of, too_small

ROWS = pd.DataFrame({
    "event_timestamp": pd.date_range("2024-01-01", periods=4, tz="UTC", unit="us"),
    "amount": [5.0, 50.0, np.nan, 500.0],
    "note": ["a", "it's", "", "ü"],
})


def where(condition: str) -> list[bool]:
    return list(rows_of(Slice(name="part", where=condition, description=""), ROWS))


def test_a_slice_holds_the_rows_where_its_condition_is_true() -> None:
    assert where("amount < 100") == [True, True, False, False]
    assert where("note = 'ü' or amount = 5") == [True, False, False, True]
    assert where("event_timestamp >= '2024-01-03'::timestamptz") == [False, False, True, True]


def test_a_missing_number_is_null() -> None:
    assert where("amount is null") == [False, False, True, False]
    assert where("coalesce(amount, 0) < 10") == [True, False, True, False]
    assert where("not amount < 100") == [False, False, False, True]


@pytest.mark.parametrize("condition", ["colour = 'red'", "amount <", "1; drop table rows"])
def test_a_wrong_condition_names_its_slice(condition: str) -> None:
    with pytest.raises(DeclarationError, match="Slice 'part': where="):
        where(condition)


def test_a_slice_of_nothing_is_empty() -> None:
    empty = ROWS.iloc[:0]
    assert rows_of(Slice(name="part", where="amount < 10", description=""), empty).tolist() == []


def test_four_rows_of_a_class_are_too_few() -> None:
    assert too_small(np.array([True] * 4 + [False] * 100))
    assert too_small(np.array([False] * 4 + [True] * 100))
    assert not too_small(np.array([False] * 5 + [True] * 5))
