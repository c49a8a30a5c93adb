"""The columns of streams and tables, each with its data contract."""

from __future__ import annotations

from math import isfinite
from typing import Literal

from ml_assets.core.declaration import declaration
from ml_assets.core.policies import require

Dtype = Literal["text", "number", "integer", "category", "boolean", "instant"]
"""What a value is.

text: read by models as words or bytes, or the key of an entity
number: a float64; integer: an int64
category: one of a set of short texts, which may be listed
boolean: true or false
instant: a moment, UTC, in microseconds
"""

LONGEST_LIST = 10_000
"""Values of a list, at most."""
RESERVED_COLUMNS = frozenset(
    {"event_id", "event_timestamp", "accepted_at", "label", "known_at", "label_id", "log_seq",
     "day"}
)


@declaration
class Column:
    """One column of a stream or a table, with its data contract.

    minimum, maximum: bounds of numbers and integers (inclusive)
    max_length: of texts and categories, characters
    unit: of numbers and integers: "EUR", "min"
    values: all that a category can be; None if that is not known beforehand
    optional: whether a row may lack it; it is then null everywhere
    many: whether a row has a list of such values, which may be empty
    length: of such a list, if all rows have as many; None for any
    """

    name: str
    dtype: Dtype
    description: str
    minimum: float | None = None
    maximum: float | None = None
    max_length: int | None = None
    unit: str = ""
    values: tuple[str, ...] | None = None
    optional: bool = False
    many: bool = False
    length: int | None = None

    def __post_init__(self) -> None:
        require(self.name.isidentifier(), self, "name", self.name, "an identifier")
        require(self.name not in RESERVED_COLUMNS, self, "name", self.name,
                f"none of {sorted(RESERVED_COLUMNS)}: the platform writes these")
        owner = f"Column {self.name!r}"
        if self.dtype not in ("number", "integer"):
            for field, value in (("minimum", self.minimum), ("maximum", self.maximum)):
                require(value is None, owner, field, value, f"none for a {self.dtype}")
            require(not self.unit, owner, "unit", self.unit, f"none for a {self.dtype}")
        for field, bound in (("minimum", self.minimum), ("maximum", self.maximum)):
            require(bound is None or isfinite(bound), owner, field, bound, "a finite number")
        require(self.minimum is None or self.maximum is None or self.minimum <= self.maximum,
                owner, "maximum", self.maximum, f"at least minimum, {self.minimum}")
        if self.dtype not in ("text", "category"):
            require(self.max_length is None, owner, "max_length", self.max_length,
                    f"none for a {self.dtype}")
        require(self.max_length is None or self.max_length >= 1, owner, "max_length",
                self.max_length, "at least 1")
        require(self.length is None or (self.many and 1 <= self.length <= LONGEST_LIST), owner,
                "length", self.length, f"none, or, with many=True, 1 to {LONGEST_LIST:,}")
        if self.values is not None:
            require(self.dtype == "category", owner, "values", self.values,
                    f"none for a {self.dtype}")
            require(bool(self.values) and len(set(self.values)) == len(self.values), owner,
                    "values", self.values, "at least one, each once")
