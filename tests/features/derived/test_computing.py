"""Derived features are the same for one row as for many, however its columns come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.data.columns import Dtype
from ml_assets.core.errors import DeclarationError
from ml_assets.features.derived.alone import require_alone
from ml_assets.features.derived.computing import Deriving, read_column
from ml_assets.features.derived.declared import Arrays, Derived
from ml_assets.ingest.lake import frame_of
from ml_assets.ingest.tables import ARROW

NAMES = ("size", "price")
START = datetime(2024, 1, 1, tzinfo=UTC)


def squared(rows: Arrays) -> Arrays:
    return {"square": rows["size"] * rows["size"], "large": rows["price"] > 2}


def less_the_mean(rows: Arrays) -> Arrays:
    return {"square": rows["size"] - np.mean(rows["size"]), "large": rows["price"] > 2}


def bare(rows: Arrays) -> Arrays:
    return {"square": np.array([1.0])}


def wordy(rows: Arrays) -> Arrays:
    return {"square": np.array(["x"] * len(rows["size"])), "large": rows["price"]}


def choosy(rows: Arrays) -> Arrays:
    if (rows["size"] > 2).any():
        raise ValueError("math domain error")
    return {"square": rows["size"] * rows["size"], "large": rows["price"] > 2}


def broken(rows: Arrays) -> Arrays:
    raise KeyError("sise")


def deriving(name: str = "squared") -> Deriving:
    return Deriving([Derived(
        view="toy_more", function=f"{__name__}:{name}", features=NAMES, columns=(),
        gives=("square", "large"),
    )], NAMES)


def vectors(count: int = 40) -> Any:
    return np.random.default_rng(1).normal(size=(count, 2)).astype(np.float32)


def test_what_is_derived_stands_behind_what_is_read() -> None:
    found = deriving()(np.array([[3, 1], [np.nan, 4], [1e30, 0]], np.float32), {})
    np.testing.assert_array_equal(
        found, np.array([[3, 1, 9, 0], [np.nan, 4, np.nan, 1], [1e30, 0, np.nan, 0]], np.float32))
    assert found.dtype == np.float32
    assert deriving()(np.empty((0, 2), np.float32), {}).shape == (0, 4)


def test_a_function_that_looks_at_other_rows_is_refused() -> None:
    require_alone(deriving(), vectors(), {})
    require_alone(deriving(), vectors(0), {})
    with pytest.raises(DeclarationError, match=r"'toy_more': 'square' of a row is .* if "
                       r"tests.*:less_the_mean gets it alone and .* among others"):
        require_alone(deriving("less_the_mean"), vectors(), {})


def test_a_row_that_the_function_fails_for_fails_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Alone or among any others it has no value of what is derived, and all else."""
    rows = np.array([[1, 3], [5, 3], [2, 1], [3, 9], [0, 0]], np.float32)
    found = deriving("choosy")(rows, {})
    np.testing.assert_array_equal(found, np.array([
        [1, 3, 1, 1], [5, 3, np.nan, np.nan], [2, 1, 4, 0], [3, 9, np.nan, np.nan], [0, 0, 0, 0],
    ], np.float32))
    for row, mine in zip(rows, found, strict=True):
        np.testing.assert_array_equal(deriving("choosy")(row[None], {})[0], mine)
    assert "choosy fails for a row, which has no value of it: ValueError: math" in caplog.text


def test_a_function_that_fails_for_all_rows_is_refused_before_a_training() -> None:
    require_alone(deriving("choosy"), vectors(), {})
    with pytest.raises(DeclarationError, match=r"broken fails for each of 16 rows that were tried: "
                       "KeyError: 'sise'"):
        require_alone(deriving("broken"), vectors(), {})
    with pytest.raises(DeclarationError, match=r"fails for more than 1000 of 5000 rows"):
        deriving("broken")(vectors(5000), {})


@pytest.mark.parametrize(("name", "said"), [
    ("bare", r"gives 'square' as float64 of shape \(1,\); expected a number for each of 40 rows"),
    ("wordy", r"gives 'square' as <U1 of shape \(40,\); expected a number"),
])
def test_a_function_that_gives_no_number_for_each_row_is_refused(name: str, said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        deriving(name)(vectors(), {})


def test_a_function_that_lacks_a_feature_or_is_not_there_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"gives \['square'\]; expected"):
        deriving("bare")(vectors(1), {})
    with pytest.raises(DeclarationError, match=r"toy_more.*cannot be imported"):
        deriving("nowhere")


TEXTS = st.text(st.characters(codec="utf-8"))
INSTANTS = st.integers(-10**14, 10**14).map(lambda us: START + timedelta(microseconds=us))
VALUES: dict[Dtype, st.SearchStrategy[Any]] = {
    "number": st.floats(allow_nan=False, allow_infinity=False), "integer": st.integers(-9, 2**53),
    "boolean": st.booleans(), "text": TEXTS, "category": TEXTS,
    "instant": INSTANTS | INSTANTS.map(lambda at: at.astimezone(timezone(timedelta(hours=2)))),
}


@given(dtype=st.sampled_from(list(VALUES)), data=st.data())
def test_a_column_is_read_alike_from_events_and_from_the_lake(
    dtype: Dtype, data: st.DataObject
) -> None:
    """Serving has the one, training and parity the other."""
    import pyarrow as pa

    values = data.draw(st.lists(st.none() | VALUES[dtype], max_size=6))
    alone = read_column(dtype, values)
    lake = frame_of(pa.table({"it": pa.array(values, ARROW[dtype])}))["it"]
    for other in (lake, pd.Series(values, dtype=object)):
        again = read_column(dtype, other)
        assert again.dtype == alone.dtype
        np.testing.assert_array_equal(again, alone)
