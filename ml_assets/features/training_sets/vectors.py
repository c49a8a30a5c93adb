"""Columns that are lists of numbers, a column for each place."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ml_assets.core.model import Embedding, Model


def vectors_of(model: Model, rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The `places` of each embedding that a model reads, float32, of n rows; NaN where missing."""
    for each in model.of(Embedding):
        values = np.full((len(rows), each.size), np.nan, np.float32)
        there = rows[each.column].notna().to_numpy()
        if there.any():
            values[there] = np.stack(rows.loc[there, each.column].to_list())
        yield pd.DataFrame(values, columns=list(each.places), index=rows.index)
