"""The address of a training set: what its rows hold and mean."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd


class Address:
    """Of values and their meaning; neither file format nor library version enters.

    columns: those of all rows, in order; about: what is said of the set
    partly: columns that some rows lack, so that pandas takes their numbers for objects
    """

    def __init__(
        self, columns: Sequence[str], about: Mapping[str, Any], partly: Collection[str]
    ) -> None:
        self._partly = tuple(partly)
        self._digest = hashlib.sha256(json.dumps([list(columns), about], sort_keys=True).encode())

    def add(self, rows: pd.DataFrame) -> None:
        """The next rows; how they are cut does not matter."""
        # As pandas hashes numbers and None in one column: by what they are written as.
        written = {name: rows[name].to_numpy().astype(str).astype(object) for name in self._partly}
        self._digest.update(digest(rows.assign(**written)))

    def __str__(self) -> str:
        return self._digest.hexdigest()[:16]


def digest(rows: pd.DataFrame) -> bytes:
    """Of the values of rows, in their order: eight bytes for each."""
    lists = [name for name in rows.select_dtypes(object)
             if rows[name].map(lambda each: isinstance(each, np.ndarray)).any()]
    told_apart = rows.assign(**{str(name): rows[name].map(_written) for name in lists})
    # Uncategorised: pandas takes two texts for the same that differ only after a NUL.
    values = pd.util.hash_pandas_object(told_apart, index=False, categorize=False)
    return bytes(values.to_numpy().tobytes())


def _written(value: object) -> str | None:
    """A list as a text that tells it from every other."""
    return repr(value.tolist()) if isinstance(value, np.ndarray) else None
