"""The address of a training set: what its rows hold and mean."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


def address(rows: pd.DataFrame, about: Mapping[str, Any]) -> str:
    """Of values and their meaning; neither file format nor library version enters."""
    meaning = json.dumps([list(rows.columns), about], sort_keys=True).encode()
    return hashlib.sha256(meaning + digest(rows)).hexdigest()[:16]


def digest(rows: pd.DataFrame) -> bytes:
    """Of the values of rows, in their order."""
    lists = [name for name in rows.select_dtypes(object)
             if rows[name].map(lambda each: isinstance(each, np.ndarray)).any()]
    hashed = rows.assign(**{str(name): rows[name].map(_written) for name in lists})
    # Uncategorised: pandas takes two texts for the same that differ only after a NUL.
    values = pd.util.hash_pandas_object(hashed, index=False, categorize=False)
    return bytes(values.to_numpy().tobytes())


def _written(value: object) -> str | None:
    """A list as a text that tells it from every other."""
    return repr(value.tolist()) if isinstance(value, np.ndarray) else None
