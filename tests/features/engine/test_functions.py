"""What `Aggregation(function=...)` may say, and what functions make of an empty window."""

from __future__ import annotations

import re

import numpy as np
import pytest

from ml_assets.core.errors import DeclarationError, UnknownName
from ml_assets.features.engine.exact import Limbs
from ml_assets.features.engine.finish import SKETCH, Statistics, finish
from ml_assets.features.engine.functions import KINDS, Function, parse_function


@pytest.mark.parametrize(("text", "expected"), [
    ("count", Function("count")),
    (" Sum ", Function("sum")),
    ("avg", Function("mean")),
    ("stddev()", Function("std")),
    ("VAR", Function("variance")),
    ("last_n(5)", Function("last_n", (5.0,))),
    ("last_n( n = 5 )", Function("last_n", (5.0,))),
    ("smoothed_mean(0.3, 2)", Function("smoothed_mean", (0.3, 2.0))),
    ("smoothed_mean(prior=0.3, weight=2)", Function("smoothed_mean", (0.3, 2.0))),
])
def test_a_function_is_a_name_with_arguments(text: str, expected: Function) -> None:
    assert parse_function(text, "shopping") == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("last_n", r"function is 'last_n'; expected last_n\(n\): the n latest values"),
    ("last_n(0)", "expected n from 1 to 1000"),
    ("last_n(2.5)", "expected n from 1 to 1000"),
    ("last_n(inf)", r"expected last_n\(n\)"),
    ("last_n(nan)", r"expected last_n\(n\)"),
    ("last_n(two)", r"expected last_n\(n\)"),
    ("count(3)", "function is 'count\\(3\\)'; expected count: events"),
    ("smoothed_mean(0.3)", r"expected smoothed_mean\(prior, weight\)"),
    ("smoothed_mean(0.3, 0)", "expected a positive weight"),
    ("smoothed_mean(nan, 1)", r"expected smoothed_mean\(prior, weight\)"),
    ("smoothed_mean(weight=2, prior=0.3)", r"expected smoothed_mean\(prior, weight\)"),
])
def test_wrong_arguments_are_refused_with_owner_value_and_usage(text: str, expected: str) -> None:
    with pytest.raises(DeclarationError, match=f"Feature 'shopping': .*{expected}"):
        parse_function(text, "Feature 'shopping'")


@pytest.mark.parametrize("text", ["median", "sum of clicks", "sum(", ""])
def test_an_unknown_function_is_refused_with_the_closest(text: str) -> None:
    with pytest.raises(UnknownName, match=re.escape(f"no aggregate function {text!r}") + ".*shop"):
        parse_function(text, "shopping")


@pytest.mark.parametrize("name", sorted(KINDS))
def test_an_empty_window_has_the_value_that_the_function_declares(name: str) -> None:
    zero, missing = np.zeros(1, dtype=np.int64), np.array([np.nan])
    nothing = Limbs(zero, zero, zero, zero)
    function = Function(name, {"last_n": (2.0,), "smoothed_mean": (0.1, 3.0)}.get(name, ()))
    found = finish(function, Statistics(
        n=zero, total=nothing, squares=nothing, low=missing, high=missing,
        first=(zero, missing), last=(zero, missing), latest=np.full((1, 5), np.nan),
        kept=zero, largest=zero.astype(np.uint64),
    ), zero)
    alone = np.nan if function.alone is None else function.alone
    np.testing.assert_array_equal(found.ravel(), [alone] * function.width)


def test_a_distinct_count_is_exact_until_the_sketch_is_full() -> None:
    largest = np.array([2**40, 2**40, 2**56], dtype=np.uint64)
    found = finish(Function("approx_count_distinct"), Statistics(
        kept=np.array([1, SKETCH - 1, SKETCH]), largest=largest,
    ), np.zeros(3, dtype=np.int64))
    assert found.tolist() == [1, 255, 255 * 2**8]


@pytest.mark.parametrize("distinct", [1000, 100_000])
def test_an_estimate_is_within_a_fifth(distinct: int) -> None:
    """Its standard error is a sixteenth."""
    hashes = np.sort(np.random.default_rng(5).integers(1, 2**64, distinct, dtype=np.uint64))
    found = finish(Function("approx_count_distinct"), Statistics(
        kept=np.array([SKETCH]), largest=hashes[SKETCH - 1 : SKETCH],
    ), np.zeros(1, dtype=np.int64))
    assert found[0] == pytest.approx(distinct, rel=0.2)
