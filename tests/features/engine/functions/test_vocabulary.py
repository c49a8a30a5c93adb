"""What `Aggregation(function=...)` may say, and who knows it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest

import ml_assets
from ml_assets.core.errors import DeclarationError, UnknownName
from ml_assets.features.engine.functions import FUNCTIONS, Function, parse_function
from ml_assets.features.engine.functions.distinct import SKETCH, DistinctCount
from ml_assets.features.engine.functions.points import LastValues
from ml_assets.features.engine.functions.sums import (
    Count,
    Mean,
    SmoothedMean,
    StandardDeviation,
    Sum,
    Variance,
)

PACKAGE = Path(ml_assets.__file__).parent
ENGINE = PACKAGE / "features" / "engine"


@pytest.mark.parametrize(("text", "expected"), [
    ("count", Count()),
    (" Sum ", Sum()),
    ("avg", Mean()),
    ("stddev()", StandardDeviation()),
    ("VAR", Variance()),
    ("last_n(5)", LastValues((5.0,))),
    ("last_n( n = 5 )", LastValues((5.0,))),
    ("smoothed_mean(0.3, 2)", SmoothedMean((0.3, 2.0))),
    ("smoothed_mean(prior=0.3, weight=2)", SmoothedMean((0.3, 2.0))),
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


def test_the_text_of_a_function_is_the_one_that_stores_know_views_by() -> None:
    """Else every store would have to be loaded again."""
    assert repr(SmoothedMean((0.3, 2.0))) == (
        "Function(name='smoothed_mean', arguments=(0.3, 2.0))"
    )
    assert repr(Count()) == "Function(name='count', arguments=())"


def test_a_distinct_count_is_exact_until_the_sketch_is_full() -> None:
    kept, largest = np.array([1, SKETCH - 1, SKETCH]), np.array([2**40, 2**40, 2**56], np.uint64)
    found = DistinctCount().finish(np.zeros(3, dtype=np.int64), (kept, largest))
    assert found.tolist() == [1, 255, 255 * 2**8]


@pytest.mark.parametrize("distinct", [1000, 100_000])
def test_an_estimate_is_within_a_fifth(distinct: int) -> None:
    """Its standard error is a sixteenth."""
    hashes = np.sort(np.random.default_rng(5).integers(1, 2**64, distinct, dtype=np.uint64))
    found = DistinctCount().finish(
        np.zeros(1, dtype=np.int64), (np.array([SKETCH]), hashes[SKETCH - 1 : SKETCH])
    )
    assert found[0] == pytest.approx(distinct, rel=0.2)


def test_only_functions_themselves_know_their_names() -> None:
    """Of all that works with the engine; declarations do not, they only name functions."""
    names = {name for each in FUNCTIONS.values() for name in (each.name, *each.aliases)}
    named = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        if path.is_relative_to(ENGINE / "functions") or not _knows_the_engine(path, tree):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and (
                node.value.strip().partition("(")[0].lower() in names
            ):
                named.append(f"{path.relative_to(PACKAGE)}:{node.lineno} {node.value!r}")
    assert not named


def _knows_the_engine(path: Path, tree: ast.Module) -> bool:
    return path.is_relative_to(ENGINE) or any(
        isinstance(node, ast.ImportFrom) and "features.engine" in (node.module or "")
        for node in ast.walk(tree)
    )
