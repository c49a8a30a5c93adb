"""Results are equal only where they should be called so."""

import numpy as np
import pyarrow as pa

from benchmarks.feature_store.results import matrix, table_digest
from benchmarks.feature_store.windowed import COLUMNS, agree

TABLE = pa.table({"row": [0, 1, 2], "f": pa.array([0.5, None, 1.5], pa.float32())})


def test_the_order_of_a_tables_rows_does_not_matter() -> None:
    assert table_digest(TABLE, ["f"]) == table_digest(TABLE.take([2, 0, 1]), ["f"])


def test_a_null_is_a_nan_and_no_other_value() -> None:
    nan = pa.table({"row": [0, 1, 2], "f": pa.array([0.5, np.nan, 1.5], pa.float32())})
    zero = pa.table({"row": [0, 1, 2], "f": pa.array([0.5, 0, 1.5], pa.float32())})
    assert table_digest(nan, ["f"]) == table_digest(TABLE, ["f"])
    assert table_digest(zero, ["f"]) != table_digest(TABLE, ["f"])


def test_a_row_that_is_missing_shows() -> None:
    assert table_digest(TABLE.slice(0, 2), ["f"]) != table_digest(TABLE, ["f"])


def test_a_matrix_is_in_the_order_of_the_spine() -> None:
    found = matrix(TABLE.take([2, 0, 1]), ["f"])
    assert np.array_equal(found, [[0.5], [np.nan], [1.5]], equal_nan=True)


def test_windows_agree_with_pandas_in_every_count_and_nearly_in_the_rest() -> None:
    ours = np.full((2, len(COLUMNS)), 2.0)
    ours[1, COLUMNS.index("mean_1d")] = np.nan
    theirs = ours.copy()
    theirs[0, COLUMNS.index("std_7d")] += 1e-8
    assert agree(ours, theirs)
    for column, change in (("std_7d", 1e-4), ("count_7d", 1e-8), ("mean_1d", np.nan)):
        wrong = theirs.copy()
        wrong[0, COLUMNS.index(column)] += change
        assert not agree(ours, wrong)
