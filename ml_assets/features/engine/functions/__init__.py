"""The vocabulary of windowed aggregates: what `Aggregation(function=...)` may say.

A function is a name, some with arguments in brackets: `count`, `last_n(5)`,
`smoothed_mean(0.3, 2)`. Each is one class in a module that is imported here.
"""

from __future__ import annotations

import math
import re

from ml_assets.core.errors import DeclarationError, unknown
from ml_assets.features.engine.functions import distinct, extremes, frequent, points, sums
from ml_assets.features.engine.functions.base import FUNCTIONS, Function, register

__all__ = [
    "FUNCTIONS", "Function", "distinct", "extremes", "frequent", "parse_function", "points",
    "register", "sums",
]


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
