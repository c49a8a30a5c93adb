"""Exact totals without arrays are those with arrays, bit for bit."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.features.engine import totals
from ml_assets.features.engine.exact import Limbs, split, split_squares, to_float, variance


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-(2.0**39), 2.0**39), min_size=1, max_size=8), st.integers(-80, 40))
def test_plain_python_rounds_as_the_arrays_do(values: list[float], power: int) -> None:
    """Also for sums too large for its short way."""
    array = np.array(values) * 2.0**power
    limbs = Limbs(*(np.array([limb.sum()]) for limb in split(array)))
    squares = Limbs(*(np.array([limb.sum()]) for limb in split(np.abs(array))))
    total = sum(int(value * 2.0**64) for value in array.tolist())
    of_squares = sum(int(abs(value) * 2.0**64) for value in array.tolist())
    assert totals.to_float(total) == to_float(limbs)[0]
    wanted = variance(np.array([len(values)]), limbs, squares)[0]
    assert totals.variance(len(values), total, of_squares) == wanted


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-(2.0**35), 2.0**35), max_size=8))
def test_variances_are_those_of_the_arrays(values: list[float]) -> None:
    array = np.array(values)
    limbs = Limbs(*(np.array([limb.sum()]) for limb in split(array)))
    squares = Limbs(*(np.array([limb.sum()]) for limb in split_squares(array)))
    wanted = variance(np.array([len(values)]), limbs, squares)[0]
    found = totals.variance(
        len(values), sum(int(value * totals.ONE) for value in values),
        sum(totals.square_of(value) for value in values),
    )
    assert found == wanted or (math.isnan(found) and math.isnan(wanted))
