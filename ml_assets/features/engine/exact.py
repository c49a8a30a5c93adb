"""Sums whose order does not matter: the same bits offline, online, forwards and backwards.

A float64 is split into four integer limbs of 32 bits, the lowest worth 2**-64. Integers
add exactly, so running totals may be subtracted and tiles merged in any order; what is lost
is below 2**-64. A difference of int64 running totals is right even where the totals
themselves have wrapped around. Variances are taken in double-double arithmetic (T. J. Dekker,
"A floating-point technique for extending the available precision", 1971).

For one number an array call costs fifty times what the arithmetic does, so that a single total
is a Python int in units of 2**-64. Its bits are the same: by the same float operations in the
same order, or by a shorter way that provably rounds to the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Real = TypeVar("Real", float, Floats)

LIMIT = 2.0**64
"""A summed value must be smaller than this in size: two billion such fit in a sum."""

SQUARED_LIMIT = 2.0**36
"""The same for a value whose variance is asked for: eight million such fit."""

ONE = 2.0**64
"""A value times this, cut off towards zero, is what it adds to a single total."""

_UNIT = 2.0**32
_WORTH = (2.0**32, 1.0, 2.0**-32, 2.0**-64)
_BITS = np.int64(32)
_MASK = np.int64(2**32 - 1)
_UNITS = 2**64
_SHORT = 2**105


class _Limbs(NamedTuple):
    top: Ints
    whole: Ints
    middle: Ints
    low: Ints


class Limbs(_Limbs):
    """`top * 2**32 + whole + middle / 2**32 + low / 2**64`; each may be any int64."""

    @cached_property
    def rounded(self) -> Floats:
        """The value as float64; several features may want the same one."""
        return to_float(self)

    def minus(self, other: Limbs) -> Limbs:
        return Limbs(*(mine - its for mine, its in zip(self, other, strict=True)))

    def plus(self, other: Limbs) -> Limbs:
        return Limbs(*(mine + its for mine, its in zip(self, other, strict=True)))


def split(values: Floats) -> Limbs:
    """The limbs of finite `values`, each below `LIMIT` in size."""
    rest = values / _UNIT
    limbs = []
    for _ in _WORTH:
        # Cut off towards zero, as integers are made of floats.
        limb = rest.astype(np.int64)
        limbs.append(limb)
        # Both steps are exact: what is left has fewer bits, and 2**32 is a power of two.
        rest = (rest - limb) * _UNIT
    return Limbs(*limbs)


def split_squares(values: Floats) -> Limbs:
    """The limbs of the exact squares of finite `values`, each below `SQUARED_LIMIT` in size."""
    square, error = _two_product(values, values)
    return split(square).plus(split(error))


def to_float(total: Limbs) -> Floats:
    """The value as float64."""
    high, low = to_double_double(total)
    return high + low


def to_double_double(total: Limbs) -> tuple[Floats, Floats]:
    """The value as an unevaluated sum of two float64."""
    limbs = _normalised(total)
    negative = limbs.top < 0
    some_negative = negative.any()
    if some_negative:
        # Near zero from below, -1 + 0.99... would lose what it should keep.
        limbs = _normalised(Limbs(*(np.where(negative, -limb, limb) for limb in total)))
    high = limbs.top.astype(np.float64) * _WORTH[0]
    high, rest = _add_smaller(high, limbs.whole.astype(np.float64))
    for limb, worth in zip(limbs[2:], _WORTH[2:], strict=True):
        high, error = _add_smaller(high, limb.astype(np.float64) * worth)
        rest = rest + error
    high, rest = _two_sum(high, rest)
    if some_negative:
        sign = np.where(negative, -1.0, 1.0)
        high, rest = sign * high, sign * rest
    return high, rest


def variance(n: Ints, total: Limbs, squares: Limbs) -> Floats:
    """Of the population: `(n * squares - total**2) / n**2`, NaN where n is 0."""
    count = n.astype(np.float64)
    spread = _spread(count, to_double_double(total), to_double_double(squares))
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.where(n > 0, np.maximum(spread, 0) / (count * count), np.nan)
    return found


def units_of_square(value: float) -> int:
    """What a value adds to a single total of squares, as in `split_squares`."""
    square, error = _two_product(value, value)
    return int(square * ONE) + int(error * ONE)


def units_of_limbs(items: Sequence[int], first: int) -> int:
    """A single total from the four limbs that start at item `first`."""
    top, whole, middle, low = items[first : first + 4]
    return (((top << 32) + whole << 32) + middle << 32) + low


def units_to_float(total: int) -> float:
    """`to_float` of a single total."""
    if -_SHORT < total < _SHORT:
        # Below 2**41 `to_float` rounds once, at its end; so does Python's division.
        return total / _UNITS
    return float(to_float(_limbs_of(total))[0])


def units_variance(n: int, total: int, squares: int) -> float:
    """`variance` of single totals."""
    if not (-_SHORT < total < _SHORT and squares < _SHORT):
        return float(variance(np.array([n]), _limbs_of(total), _limbs_of(squares))[0])
    if not n:
        return math.nan
    count = float(n)
    spread = _spread(count, _units_to_double_double(total), _units_to_double_double(squares))
    return max(spread, 0.0) / (count * count)


def _limbs_of(total: int) -> Limbs:
    parts = (total >> 96, total >> 64 & 0xFFFFFFFF, total >> 32 & 0xFFFFFFFF, total & 0xFFFFFFFF)
    return Limbs(*(np.array([part]) for part in parts))


def _units_to_double_double(total: int) -> tuple[float, float]:
    high = total / _UNITS
    return high, (total - int(high * ONE)) / _UNITS


def _spread(count: Real, total: tuple[Real, Real], squares: tuple[Real, Real]) -> Real:
    """`count * squares - total**2`, rounded once."""
    first = _times(squares, count)
    second, error = _two_product(total[0], total[0])
    error = error + 2 * total[0] * total[1]
    high, rest = _two_sum(first[0], -second)
    return high + (rest + (first[1] - error))


def _normalised(total: Limbs) -> Limbs:
    """The same value with the lower three limbs in [0, 2**32)."""
    middle = total.middle + (total.low >> _BITS)
    whole = total.whole + (middle >> _BITS)
    top = total.top + (whole >> _BITS)
    return Limbs(top, whole & _MASK, middle & _MASK, total.low & _MASK)


def _two_sum(a: Real, b: Real) -> tuple[Real, Real]:
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _add_smaller(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """`_two_sum` if b is not larger in size than a, or a is zero."""
    total = a + b
    return total, b - (total - a)


def _two_product(a: Real, b: Real) -> tuple[Real, Real]:
    product = a * b
    a_high, b_high = _upper_half(a), _upper_half(b)
    a_low, b_low = a - a_high, b - b_high
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, error


def _upper_half(a: Real) -> Real:
    factor = 134217729.0 * a
    return factor - (factor - a)


def _times(a: tuple[Real, Real], b: Real) -> tuple[Real, Real]:
    product, error = _two_product(a[0], b)
    return _two_sum(product, error + a[1] * b)
