"""Parity: what was served against what history gives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from ml_assets.features.parity import compare

NOON = datetime(2024, 1, 5, 12, tzinfo=UTC)
NAMES = ("amount", "shop_events_7d")


def served(
    vectors: npt.NDArray[np.float32], *, names: Sequence[str] = NAMES, degraded: bool = False
) -> pd.DataFrame:
    """Predictions accepted a minute apart, from noon on."""
    return pd.DataFrame({
        "prediction_id": [f"p{n}" for n in range(len(vectors))],
        "accepted_at": pd.to_datetime([NOON + timedelta(minutes=n) for n in range(len(vectors))],
                                      utc=True),
        "features": pd.Series(list(vectors), dtype=object),
        "feature_names": pd.Series([np.array(names)] * len(vectors), dtype=object),
        "degraded": [degraded] * len(vectors),
        "state_seq": 0,
    })


def vectors(*rows: Sequence[float]) -> npt.NDArray[np.float32]:
    return np.array(rows, dtype=np.float32).reshape(-1, len(NAMES))


any_vectors = stn.arrays(np.float32, st.tuples(st.integers(0, 6), st.just(2)),
                         elements=st.floats(width=32))


@given(any_vectors)
def test_what_is_recomputed_alike_matches_whatever_the_values(
    values: npt.NDArray[np.float32],
) -> None:
    report = compare(served(values), values.copy(), feature_names=NAMES)
    assert (report.checked, report.exact) == (len(values), len(values))
    assert report.worst.empty


@given(any_vectors.filter(len), st.data())
def test_one_flipped_bit_is_found(values: npt.NDArray[np.float32], data: st.DataObject) -> None:
    row = data.draw(st.integers(0, len(values) - 1))
    again = values.copy()
    again.view(np.uint32)[row, 1] ^= 1
    if np.isnan(values[row, 1]) and np.isnan(again[row, 1]):
        return  # all NaN are one
    report = compare(served(values), again, feature_names=NAMES)
    assert report.unexplained == 1
    assert report.by_feature == {"shop_events_7d": 1}
    assert report.worst["prediction_id"].tolist() == [f"p{row}"]


def test_unknown_equals_unknown_but_not_zero() -> None:
    report = compare(served(vectors([1, np.nan], [1, np.nan])), vectors([1, np.nan], [1, 0]),
                     feature_names=NAMES)
    assert (report.exact, report.unexplained) == (1, 1)


def test_what_was_logged_before_there_were_positions_is_counted_and_not_compared() -> None:
    old = served(vectors([1, 1], [1, 1])).assign(state_seq=np.array([np.nan, 4]))
    report = compare(old, vectors([9, 9], [1, 1]), feature_names=NAMES)
    assert (report.checked, report.exact, report.without_position) == (1, 1, 1)


def test_the_largest_difference_comes_first_and_a_missing_value_is_the_largest() -> None:
    report = compare(served(vectors([1, 1], [5, 1], [1, np.nan])), vectors([2, 1], [1, 1], [1, 1]),
                     feature_names=NAMES, worst=2)
    assert report.worst["prediction_id"].tolist() == ["p2", "p1"]
    assert report.worst["served"].iloc[1] == 5
    assert report.worst["recomputed"].iloc[1] == 1


def test_defaults_served_on_purpose_are_counted_and_not_compared() -> None:
    report = compare(served(vectors([1, 1]), degraded=True), vectors([9, 9]), feature_names=NAMES)
    assert (report.checked, report.degraded) == (0, 1)


def test_a_vector_of_other_features_is_counted_and_not_compared() -> None:
    old = served(np.ones((1, 3), np.float32), names=("amount", "shop_events_7d", "shop_age"))
    report = compare(old, vectors([1, 1]), feature_names=NAMES)
    assert (report.checked, report.other_features) == (0, 1)


def test_rows_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="predictions by features"):
        compare(served(vectors([1, 1])), vectors([1, 1], [1, 1]), feature_names=NAMES)
