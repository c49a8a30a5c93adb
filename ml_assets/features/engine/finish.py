"""From a window's sufficient statistics to the feature: one function for both stores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ml_assets.features.engine.exact import Floats, Ints, Limbs, to_float, variance
from ml_assets.features.engine.functions import Function

T = TypeVar("T")

SKETCH = 256
"""How many of the smallest hashes an `approx_count_distinct` keeps."""


@dataclass(kw_only=True)
class Statistics:
    """What m windows hold of one slot; only what a function `needs` has to be there.

    More dimensions before m do no harm.

    n: (m) values that are not missing
    total, squares: (m) their sum and the sum of their squares
    low, high: (m) the smallest and the largest, NaN where n is 0
    first, last: (m) (timestamp in microseconds, value) of the earliest and the latest by
        (timestamp, uid); the value is NaN where n is 0
    latest: (m, width) the latest values, newest first, padded with NaN
    kept, largest: (m) of the `SKETCH` smallest distinct hashes: how many there are, and the
        largest of them (uint64)
    """

    n: Ints | None = None
    total: Limbs | None = None
    squares: Limbs | None = None
    low: Floats | None = None
    high: Floats | None = None
    first: tuple[Ints, Floats] | None = None
    last: tuple[Ints, Floats] | None = None
    latest: Floats | None = None
    kept: Ints | None = None
    largest: npt.NDArray[np.uint64] | None = None

    @cached_property
    def rounded(self) -> Floats:
        """(m) the sum as float64."""
        return to_float(_there(self.total))


def finish(function: Function, found: Statistics, as_of: Ints) -> Floats:
    """The feature of m windows that end at `as_of`: (m), or (m, width) for `last_n`.

    NaN says that there is no value. Raises nothing: a count of zero divides to NaN.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return _finish(function, found, as_of)


def _finish(function: Function, found: Statistics, as_of: Ints) -> Floats:
    match function.name:
        case "count":
            return _there(found.n).astype(np.float64)
        case "sum":
            return found.rounded
        case "mean":
            # Zero by zero is NaN.
            return found.rounded / _there(found.n)
        case "smoothed_mean":
            prior, weight = function.arguments
            return (found.rounded + prior * weight) / (_there(found.n) + weight)
        case "variance":
            return variance(_there(found.n), _there(found.total), _there(found.squares))
        case "std":
            return np.sqrt(variance(_there(found.n), _there(found.total), _there(found.squares)))
        case "min":
            # Which of -0.0 and 0.0 was found depends on their order; the sum is 0.0.
            return _there(found.low) + 0.0
        case "max":
            return _there(found.high) + 0.0
        case "first":
            return _there(found.first)[1]
        case "last":
            return _there(found.last)[1]
        case "time_since_first" | "time_since_last":
            at, value = _there(found.first if function.name.endswith("first") else found.last)
            return np.where(np.isnan(value), np.nan, (as_of - at) / 1e6)
        case "last_n":
            return _there(found.latest)[..., : function.width]
        case _:
            return _distinct(_there(found.kept), _there(found.largest))


def _distinct(kept: Ints, largest: npt.NDArray[np.uint64]) -> Floats:
    """The estimate from the k smallest hashes, exact where there are fewer than k.

    Source: Z. Bar-Yossef et al., "Counting distinct elements in a data stream", 2002.
    """
    estimate = np.round((SKETCH - 1) * (2.0**64 / np.maximum(largest.astype(np.float64), 1)))
    return np.where(kept < SKETCH, kept.astype(np.float64), estimate)


def _there(value: T | None) -> T:
    assert value is not None, "a statistic that the function needs was not gathered"
    return value
