"""Laws of exact sums: the order of values does not matter, and what is put in comes out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ml_assets.features.engine.exact import (
    LIMIT,
    ONE,
    SQUARED_LIMIT,
    Floats,
    Ints,
    Limbs,
    split,
    split_squares,
    to_float,
    units_of_square,
    units_to_float,
    units_variance,
    variance,
)

BELOW = float(np.nextafter(LIMIT, 0))
SQUARABLE = float(np.nextafter(SQUARED_LIMIT, 0))

numbers = st.lists(st.one_of(
    st.floats(-1e9, 1e9), st.floats(-BELOW, BELOW),
    st.sampled_from([0.1, -0.1, 1e15, -1e15, 2.0**-64, -(2.0**-64), 1.5, 2.0**32, 2.0**53 + 2]),
), max_size=30).map(lambda values: np.array(values, dtype=np.float64))

squarable = st.lists(st.one_of(
    st.floats(-1e6, 1e6), st.floats(-SQUARABLE, SQUARABLE), st.sampled_from([0.1, 1e9, 1e9 + 1]),
), min_size=1, max_size=30).map(lambda values: np.array(values, dtype=np.float64))


def summed(limbs: Limbs) -> Limbs:
    return Limbs(*(np.array([limb.sum()]) for limb in limbs))


def worth(limbs: Limbs) -> Fraction:
    """The exact value of one."""
    top, whole, middle, low = (int(limb[0]) for limb in limbs)
    return top * 2**32 + whole + Fraction(middle, 2**32) + Fraction(low, 2**64)


def cut_off(value: float) -> Fraction:
    """Without what is below 2**-64, towards zero."""
    return Fraction(int(Fraction(value) * 2**64), 2**64)


@given(numbers)
def test_the_limbs_of_a_sum_are_worth_the_sum(values: Floats) -> None:
    assert worth(summed(split(values))) == sum(map(cut_off, values.tolist()))


@given(numbers)
def test_a_sum_is_rounded_once(values: Floats) -> None:
    """Below 2**41 in size; above it within two roundings."""
    exact = sum(map(cut_off, values.tolist()), Fraction(0))
    found = to_float(summed(split(values)))[0]
    if abs(exact) < 2**41:
        assert found == float(exact)
    else:
        assert abs(Fraction(found) - exact) <= abs(exact) * Fraction(1, 2**51)


@given(numbers, st.integers(0, 30))
@example(np.array([1e24, 0.1]), 1)
def test_what_is_subtracted_leaves_no_trace(values: Floats, cut: int) -> None:
    """The sum of the rest has the bits that it has alone."""
    part = summed(split(values)).minus(summed(split(values[:cut])))
    assert to_float(part).tobytes() == to_float(summed(split(values[cut:]))).tobytes()


@given(numbers, st.randoms(use_true_random=False))
def test_order_and_grouping_change_no_bit(values: Floats, chance: np.random.Generator) -> None:
    turned = values.copy()
    chance.shuffle(turned)
    half = len(values) // 2
    grouped = summed(split(turned[:half])).plus(summed(split(turned[half:])))
    assert to_float(grouped).tobytes() == to_float(summed(split(values))).tobytes()


@given(squarable)
def test_squares_are_exact_to_the_last_limb(values: Floats) -> None:
    exact = sum((Fraction(value) ** 2 for value in values.tolist()), Fraction(0))
    found = worth(summed(split_squares(values)))
    assert abs(found - exact) <= len(values) * Fraction(2, 2**64)


@given(squarable)
def test_a_variance_is_right_though_large_numbers_cancel(values: Floats) -> None:
    n, whole = len(values), [Fraction(value) for value in values.tolist()]
    mean = sum(whole, Fraction(0)) / n
    exact = float(sum(((value - mean) ** 2 for value in whole), Fraction(0)) / n)
    size = float(sum((value**2 for value in whole), Fraction(0)))
    found = variance(np.array([n]), summed(split(values)), summed(split_squares(values)))[0]
    within = 1e-12 * exact + 1e-28 * size + 2.0**-60 * (1 + np.abs(values).max())
    assert abs(found - exact) <= within


def test_the_spread_of_near_equals_survives_their_size() -> None:
    values = np.array([1e9, 1e9 + 2.0**-20])
    found = variance(np.array([2]), summed(split(values)), summed(split_squares(values)))
    assert found.tolist() == [2.0**-42]


def test_the_variance_of_nothing_is_missing() -> None:
    nothing: Sequence[Ints] = [np.zeros(1, dtype=np.int64)] * 4
    assert np.isnan(variance(np.array([0]), Limbs(*nothing), Limbs(*nothing))).all()


def test_limbs_may_have_any_sign_and_size() -> None:
    """As differences of running totals have."""
    limbs = Limbs(*(np.array([limb]) for limb in (1, -(2**32), 2**40, -(2**62))))
    assert worth(limbs) == Fraction(2**8) - Fraction(2**62, 2**64)
    assert to_float(limbs).tolist() == [255.75]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-(2.0**39), 2.0**39), min_size=1, max_size=8), st.integers(-80, 40))
def test_plain_python_rounds_as_the_arrays_do(values: list[float], power: int) -> None:
    """Also for sums too large for its short way."""
    array = np.array(values) * 2.0**power
    limbs = Limbs(*(np.array([limb.sum()]) for limb in split(array)))
    squares = Limbs(*(np.array([limb.sum()]) for limb in split(np.abs(array))))
    total = sum(int(value * 2.0**64) for value in array.tolist())
    of_squares = sum(int(abs(value) * 2.0**64) for value in array.tolist())
    assert units_to_float(total) == to_float(limbs)[0]
    wanted = variance(np.array([len(values)]), limbs, squares)[0]
    assert units_variance(len(values), total, of_squares) == wanted


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-(2.0**35), 2.0**35), max_size=8))
def test_variances_are_those_of_the_arrays(values: list[float]) -> None:
    array = np.array(values)
    limbs = Limbs(*(np.array([limb.sum()]) for limb in split(array)))
    squares = Limbs(*(np.array([limb.sum()]) for limb in split_squares(array)))
    wanted = variance(np.array([len(values)]), limbs, squares)[0]
    found = units_variance(
        len(values), sum(int(value * ONE) for value in values),
        sum(units_of_square(value) for value in values),
    )
    assert found == wanted or (math.isnan(found) and math.isnan(wanted))
