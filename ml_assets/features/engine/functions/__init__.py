"""The vocabulary of windowed aggregates: what `Aggregation(function=...)` may say.

A function is a name, some with arguments in brackets: `count`, `last_n(5)`,
`smoothed_mean(0.3, 2)`. All but `last_n` give one number.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from ml_assets.core.errors import DeclarationError, unknown

Reads = Literal["rows", "number", "hash"]
"""What a function reads of an event: that it happened, a number, or a hash of a value."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What is known of a function by its name alone.

    parameters: the names of its arguments; alone: its value where no event is in the window
    (None where it then has none); needs: the sufficient statistics that it is computed from.
    """

    reads: Reads
    needs: frozenset[str]
    alone: float | None = None
    parameters: tuple[str, ...] = ()
    meaning: str


KINDS: dict[str, Kind] = {
    "count": Kind(
        reads="rows", needs=frozenset({"n"}), alone=0,
        meaning="events; with a column, those that have it",
    ),
    "sum": Kind(reads="number", needs=frozenset({"sum"}), alone=0, meaning="the exact sum"),
    "mean": Kind(reads="number", needs=frozenset({"n", "sum"}), meaning="the exact mean"),
    "variance": Kind(
        reads="number", needs=frozenset({"n", "sum", "squares"}),
        meaning="of the population: zero for one event",
    ),
    "std": Kind(
        reads="number", needs=frozenset({"n", "sum", "squares"}),
        meaning="the square root of `variance`",
    ),
    "min": Kind(reads="number", needs=frozenset({"min"}), meaning="the smallest value"),
    "max": Kind(reads="number", needs=frozenset({"max"}), meaning="the largest value"),
    "first": Kind(reads="number", needs=frozenset({"first"}), meaning="the earliest value"),
    "last": Kind(reads="number", needs=frozenset({"last"}), meaning="the latest value"),
    "time_since_first": Kind(
        reads="rows", needs=frozenset({"first"}), meaning="seconds since the earliest event",
    ),
    "time_since_last": Kind(
        reads="rows", needs=frozenset({"last"}), meaning="seconds since the latest event",
    ),
    "last_n": Kind(
        reads="number", needs=frozenset({"latest"}), parameters=("n",),
        meaning="the n latest values, newest first",
    ),
    "approx_count_distinct": Kind(
        reads="hash", needs=frozenset({"distinct"}), alone=0,
        meaning="distinct values; exact up to 255, then within about 6%",
    ),
    "smoothed_mean": Kind(
        reads="number", needs=frozenset({"n", "sum"}), parameters=("prior", "weight"),
        meaning="mean; (sum + prior * weight) / (n + weight), which starts at `prior`",
    ),
}

ALIASES = {"avg": "mean", "var": "variance", "stddev": "std"}


@dataclass(frozen=True)
class Function:
    """One function with its arguments, such as `last_n` with (5,)."""

    name: str
    arguments: tuple[float, ...] = ()

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]

    @property
    def ordered(self) -> bool:
        """Whether the order of events at the same instant makes a difference."""
        return self.name in ("first", "last", "last_n")

    @property
    def width(self) -> int:
        """How many numbers it gives: one, or n for `last_n`."""
        return int(self.arguments[0]) if self.name == "last_n" else 1

    @property
    def alone(self) -> float | None:
        """Its value where no event is in the window; None where it has none."""
        if self.name != "smoothed_mean":
            return self.kind.alone
        prior, weight = self.arguments
        return prior * weight / weight


def parse_function(text: str, owner: str) -> Function:
    """The function that `text` names; `owner` is who declares it, for the error.

    Raises UnknownName for a name that there is not and DeclarationError for wrong arguments.
    """
    found = re.fullmatch(r"\s*(\w*)\s*(?:\(([^()]*)\))?\s*", text)
    name = ALIASES.get(found[1].lower(), found[1].lower()) if found else text
    if found is None or name not in KINDS:
        raise unknown("aggregate function", text, KINDS, f"{owner} asks for it.")
    kind = KINDS[name]
    written = [part for part in (found[2] or "").split(",") if part.strip()]
    usage = f"{name}({', '.join(kind.parameters)})" if kind.parameters else name
    try:
        arguments = tuple(
            _parse_argument(part, parameter)
            for part, parameter in zip(written, kind.parameters, strict=True)
        )
    except ValueError:
        raise DeclarationError(
            f"{owner}: function is {text!r}; expected {usage}: {kind.meaning}"
        ) from None
    if name == "last_n" and not (arguments[0] == int(arguments[0]) and 1 <= arguments[0] <= 1000):
        raise DeclarationError(f"{owner}: function is {text!r}; expected n from 1 to 1000")
    if name == "smoothed_mean" and not arguments[1] > 0:
        raise DeclarationError(f"{owner}: function is {text!r}; expected a positive weight")
    return Function(name, arguments)


def _parse_argument(written: str, parameter: str) -> float:
    """Of `0.3` or `prior=0.3`. Raises ValueError."""
    name, _, number = written.rpartition("=")
    if name.strip() not in ("", parameter) or not math.isfinite(float(number)):
        raise ValueError(written)
    return float(number)
