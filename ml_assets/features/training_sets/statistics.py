"""What the columns of a training set look like, for a reader and for a check."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd


def describe(rows: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """One row for each feature in `names`, in that order.

    Columns: feature, missing (share of rows), distinct (values that are not missing), mean,
    std (of the sample), min, median, max; the last five are NaN where all is missing.
    """
    numbers = rows[list(names)].astype("float64")
    found = pd.DataFrame({
        "missing": numbers.isna().mean(),
        "distinct": numbers.nunique(),
        "mean": numbers.mean(),
        "std": numbers.std(),
        "min": numbers.min(),
        "median": numbers.median(),
        "max": numbers.max(),
    })
    return found.rename_axis("feature").reset_index()


def dead(statistics: pd.DataFrame) -> list[str]:
    """The features that tell nothing: the same everywhere, or nowhere there."""
    still = (statistics["distinct"] == 0) | (
        (statistics["distinct"] == 1) & (statistics["missing"] == 0)
    )
    return list(statistics.loc[still, "feature"])
