"""The vocabulary of windowed aggregates: what `Aggregation(function=...)` may say.

A function is a name, some with arguments in brackets: `count`, `last_n(5)`,
`smoothed_mean(0.3, 2)`. Each is one class; to add one is to write its class and register it.
"""

from __future__ import annotations

import math
import re

from ml_assets.core.errors import DeclarationError, unknown
from ml_assets.features.engine.functions.base import Function
from ml_assets.features.engine.functions.counts import Count
from ml_assets.features.engine.functions.distinct import DistinctCount
from ml_assets.features.engine.functions.extremes import Max, Min
from ml_assets.features.engine.functions.points import (
    FirstValue,
    LastValue,
    LastValues,
    TimeSinceFirst,
    TimeSinceLast,
)
from ml_assets.features.engine.functions.sums import (
    Mean,
    SmoothedMean,
    StandardDeviation,
    Sum,
    Variance,
)

__all__ = ["FUNCTIONS", "Function", "parse_function", "register"]

FUNCTIONS: dict[str, type[Function]] = {}
"""By name."""


def register(*functions: type[Function]) -> None:
    FUNCTIONS.update((each.name, each) for each in functions)


register(
    Count, Sum, Mean, Variance, StandardDeviation, Min, Max, FirstValue, LastValue,
    TimeSinceFirst, TimeSinceLast, LastValues, DistinctCount, SmoothedMean,
)


def parse_function(text: str, owner: str) -> Function:
    """The function that `text` names; `owner` is who declares it, for the error.

    Raises UnknownName for a name that no function has, and DeclarationError for wrong arguments.
    """
    said = re.fullmatch(r"\s*(\w*)\s*(?:\(([^()]*)\))?\s*", text)
    names = {name: each for each in FUNCTIONS.values() for name in (each.name, *each.aliases)}
    function = names.get(said[1].lower()) if said else None
    if said is None or function is None:
        raise unknown("aggregate function", text, FUNCTIONS, f"{owner} asks for it.")
    written = [part for part in (said[2] or "").split(",") if part.strip()]
    parameters = function.parameters
    usage = f"{function.name}({', '.join(parameters)})" if parameters else function.name
    try:
        parsed = function(tuple(
            _parse_argument(part, parameter)
            for part, parameter in zip(written, parameters, strict=True)
        ))
    except ValueError:
        raise DeclarationError(
            f"{owner}: function is {text!r}; expected {usage}: {function.meaning}"
        ) from None
    if expected := parsed.expected():
        raise DeclarationError(f"{owner}: function is {text!r}; expected {expected}")
    return parsed


def _parse_argument(written: str, parameter: str) -> float:
    """Of `0.3` or `prior=0.3`. Raises ValueError."""
    name, _, number = written.rpartition("=")
    if name.strip() not in ("", parameter) or not math.isfinite(float(number)):
        raise ValueError(written)
    return float(number)
