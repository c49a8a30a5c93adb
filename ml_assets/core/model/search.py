"""What a search for better values of a model may try."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

from ml_assets.core.declaration import closest, declaration
from ml_assets.core.errors import DeclarationError
from ml_assets.core.policies import require

Declared = TypeVar("Declared")
PLAIN = (bool, int, float, str, timedelta, tuple)
Value = bool | int | float | str | timedelta | tuple[Any, ...] | None
"""What a declaration has that is no declaration itself."""


@declaration
class Between:
    """A number or a time of the model's declaration, from `low` to `high`, both included.

    `Between(name="fit.rate", low=1e-4, high=0.1, log=True)`

    name: `fit.rate`, `network.hidden`; whole numbers if `low` and `high` are; of times, whole
        seconds are tried
    log: whether a step from 1 to 10 is as long as one from 10 to 100
    """

    name: str
    low: float | timedelta
    high: float | timedelta
    log: bool = False

    def __post_init__(self) -> None:
        require(self.is_time == isinstance(self.high, timedelta), self, "high", self.high,
                f"of the kind of low, {self.low!r}")
        low, high = self.bounds
        require(low < high, self, "high", self.high, f"more than low, {self.low}")
        require(not self.log or low > 0, self, "low", self.low, "more than 0, for logarithms")

    @property
    def is_time(self) -> bool:
        return isinstance(self.low, timedelta)

    @property
    def bounds(self) -> tuple[float, float]:
        """The ends as numbers: of a time its seconds."""
        low, high = (each.total_seconds() if isinstance(each, timedelta) else each
                     for each in (self.low, self.high))
        return low, high

    @property
    def ends(self) -> tuple[Value, ...]:
        """Values that must be possible, so that those between are."""
        return self.low, self.high

    def holds(self, value: object) -> bool:
        """Whether it may be tried."""
        low, high = self.bounds
        if isinstance(value, timedelta):
            return self.is_time and low <= value.total_seconds() <= high
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and not self.is_time and low <= value <= high  # type: ignore[operator]


@declaration
class Among:
    """A value of the model's declaration, of any type, one of a few.

    `Among(name="fit.half_life", values=(None, timedelta(days=3), timedelta(days=10)))`
    """

    name: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        require(len(set(self.values)) == len(self.values) > 1, self, "values", self.values,
                "two different ones or more")

    @property
    def ends(self) -> tuple[Value, ...]:
        """All of them."""
        return self.values

    def holds(self, value: object) -> bool:
        """Whether it may be tried."""
        return value in self.values


def with_values(declared: Declared, values: dict[str, Value]) -> Declared:
    """A declaration with other values, by dotted names: `{"fit.rate": 0.01}`.

    Raises DeclarationError, with the closest, for a name that it has not got, and whatever the
    declaration itself refuses.
    """
    changed: dict[str, Any] = {}
    below: dict[str, dict[str, Value]] = {}
    known = {each.name for each in fields(declared)}  # type: ignore[arg-type]
    for name, value in values.items():
        own, _, rest = name.partition(".")
        inner = getattr(declared, own, None)
        if own not in known or (rest and not is_dataclass(inner)) or (
                not rest and is_dataclass(inner)):
            raise DeclarationError(
                f"a search names {name!r}, which is no value of {type(declared).__name__}; there "
                f"are {', '.join(names_in(declared))}.{closest(name, names_in(declared))}")
        if rest:
            below.setdefault(own, {})[rest] = value
        else:
            changed[own] = value
    changed |= {own: with_values(getattr(declared, own), inner) for own, inner in below.items()}
    return replace(declared, **changed)  # type: ignore[type-var]


def value_of(declared: object, name: str) -> Any:
    """The value of a dotted name."""
    for part in name.split("."):
        declared = getattr(declared, part)
    return declared


def names_in(declared: object) -> list[str]:
    """The dotted names of all values of a declaration that are plain."""
    found = []
    for each in fields(declared):  # type: ignore[arg-type]
        value = getattr(declared, each.name)
        if is_dataclass(value) and not isinstance(value, type):
            found += [f"{each.name}.{inner}" for inner in names_in(value)]
        elif isinstance(value, PLAIN) or value is None:
            found.append(each.name)
    return found
