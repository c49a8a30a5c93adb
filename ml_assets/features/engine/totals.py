"""One exact total as a Python int, in units of 2**-64: `exact.py` without arrays.

For one number an array call costs fifty times what the arithmetic does. The bits are the same:
these are the same float operations in the same order, or a shorter way that provably rounds to
the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ml_assets.features.engine import exact
from ml_assets.features.engine.exact import Limbs

ONE = 2.0**64
"""A value times this, cut off towards zero, is what it adds to a total."""

_UNITS = 2**64
_SHORT = 2**105
_SPLITTER = 134217729.0


def square_of(value: float) -> int:
    """What a value adds to a total of squares, as in `exact.split_squares`."""
    square, error = _two_product(value, value)
    return int(square * ONE) + int(error * ONE)


def of_limbs(items: Sequence[int], place: int) -> int:
    """From the four limbs that start at `place`."""
    top, whole, middle, low = items[place : place + 4]
    return (((top << 32) + whole << 32) + middle << 32) + low


def to_float(total: int) -> float:
    if -_SHORT < total < _SHORT:
        # Below 2**41 `exact.to_float` rounds once, at its end; so does Python's division.
        return total / _UNITS
    return float(exact.to_float(_limbs(total))[0])


def variance(n: int, total: int, squares: int) -> float:
    """`exact.variance` of one window."""
    if not (-_SHORT < total < _SHORT and squares < _SHORT):
        return float(exact.variance(np.array([n]), _limbs(total), _limbs(squares))[0])
    if not n:
        return math.nan
    count = float(n)
    mean_high, mean_low = _double_double(total)
    squares_high, squares_low = _double_double(squares)
    product, product_error = _two_product(squares_high, count)
    first, first_low = _two_sum(product, product_error + squares_low * count)
    second, error = _two_product(mean_high, mean_high)
    error = error + 2 * mean_high * mean_low
    high, rest = _two_sum(first, -second)
    spread = high + (rest + (first_low - error))
    return max(spread, 0.0) / (count * count)


def _limbs(total: int) -> Limbs:
    parts = (total >> 96, total >> 64 & 0xFFFFFFFF, total >> 32 & 0xFFFFFFFF, total & 0xFFFFFFFF)
    return Limbs(*(np.array([part]) for part in parts))


def _double_double(total: int) -> tuple[float, float]:
    high = total / _UNITS
    return high, (total - int(high * ONE)) / _UNITS


def _two_sum(a: float, b: float) -> tuple[float, float]:
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _two_product(a: float, b: float) -> tuple[float, float]:
    product = a * b
    a_high, b_high = _upper_half(a), _upper_half(b)
    a_low, b_low = a - a_high, b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _upper_half(a: float) -> float:
    factor = _SPLITTER * a
    return factor - (factor - a)
