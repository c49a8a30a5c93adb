"""What a training set's statistics tell."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml_assets.features.training_sets.statistics import dead, describe

ROWS = pd.DataFrame({
    "amount": np.array([1, 2, np.nan, 5], dtype=np.float32),
    "constant": np.array([3, 3, 3, 3], dtype=np.float32),
    "known_or_not": np.array([1, np.nan, 1, np.nan], dtype=np.float32),
    "never": np.array([np.nan] * 4, dtype=np.float32),
})


def test_each_feature_is_one_row_in_the_order_asked_for() -> None:
    found = describe(ROWS, ["never", "amount"]).set_index("feature")
    assert list(found.index) == ["never", "amount"]
    amount = found.loc["amount"]
    assert (amount["missing"], amount["distinct"], amount["median"]) == (0.25, 3, 2)
    assert (amount["min"], amount["max"]) == (1, 5)
    assert found.loc["never", "missing"] == 1
    assert found["mean"].isna().tolist() == [True, False]


def test_a_feature_is_dead_where_it_tells_nothing() -> None:
    """One that is there or not, always with the same value, still tells that."""
    assert dead(describe(ROWS, list(ROWS.columns))) == ["constant", "never"]
