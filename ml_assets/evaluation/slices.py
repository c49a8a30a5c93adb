"""The parts of the rows that are judged on their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import DeclarationError
from ml_assets.core.policies import Slice

if TYPE_CHECKING:
    import pandas as pd

SMALLEST_CLASS = 5
"""Fewer rows of either class say nothing about a model; such a slice is not judged."""


def rows_of(part: Slice, rows: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Which of the N rows belong to the slice, (N,); where its condition is null, none.

    Raises DeclarationError, naming the slice, where `where` is no condition on the columns.
    """
    chosen = np.zeros(len(rows), dtype=bool)
    with duckdb.connect() as database:
        database.register("rows", rows.assign(row_number_=np.arange(len(rows))))
        try:
            found = database.sql(f"select row_number_ from rows where ({part.where})").fetchnumpy()
        except duckdb.Error as error:
            raise DeclarationError(
                f"Slice {part.name!r}: where={part.where!r} is no condition on the columns "
                f"{', '.join(map(str, rows.columns))}: {error}"
            ) from error
    chosen[np.asarray(found["row_number_"], dtype=np.int64)] = True
    return chosen


def too_small(labels_N: npt.NDArray[np.bool_]) -> bool:
    return bool(min(labels_N.sum(), (~labels_N).sum()) < SMALLEST_CLASS)
