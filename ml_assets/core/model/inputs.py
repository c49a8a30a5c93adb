"""What a model reads of an event; the features of its feature service come on top of it."""

from __future__ import annotations

from collections.abc import Sequence as Several
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from ml_assets.core.data.columns import Dtype
from ml_assets.core.declaration import declaration
from ml_assets.core.policies import require


@declaration
class Text:
    """A text: its lower-case words and pairs of these, or its byte 4-grams.

    A column may be read in both units.
    """

    column: str = field(kw_only=False)
    unit: Literal["bytes", "words"] = "bytes"

    dtypes: ClassVar[tuple[Dtype, ...]] = ("text",)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)


@dataclass(frozen=True, init=False)
class Numbers:
    """Columns of numbers, integers or booleans, which may be missing: `Numbers("amount", "age")`.
    """

    columns: tuple[str, ...]

    dtypes: ClassVar[tuple[Dtype, ...]] = ("number", "integer", "boolean")

    def __init__(self, *columns: str) -> None:
        object.__setattr__(self, "columns", _named(self, columns))


@dataclass(frozen=True, init=False)
class Categories:
    """Columns of categories, or of texts of which few are different: `Categories("channel")`.

    A value that is rare in training counts as unknown.
    """

    columns: tuple[str, ...]

    dtypes: ClassVar[tuple[Dtype, ...]] = ("category", "text")

    def __init__(self, *columns: str) -> None:
        object.__setattr__(self, "columns", _named(self, columns))


Input = Text | Numbers | Categories


def _named(owner: object, columns: Several[str]) -> tuple[str, ...]:
    require(bool(columns) and all(isinstance(column, str) for column in columns), owner, "columns",
            columns, "at least one name of a column")
    return tuple(columns)
