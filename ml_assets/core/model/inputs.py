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
    """A text: its lower-case words, or its bytes.

    `HashedText` reads all of it, as a bag of words and pairs of words, or of byte 4-grams, and may
    read a column in both units. Other networks read its first `length` words or bytes in order: a
    word is one of `ids` hashed ids.
    """

    column: str = field(kw_only=False)
    unit: Literal["bytes", "words"] = "bytes"
    length: int = 64
    ids: int = 2**14

    dtypes: ClassVar[tuple[Dtype, ...]] = ("text",)

    def __post_init__(self) -> None:
        for name, least in (("length", 1), ("ids", 2)):
            require(getattr(self, name) >= least, self, name, getattr(self, name),
                    f"at least {least}")

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
    """Columns of categories, of texts of which few are different, or of integers that are ids:
    `Categories("channel")`.

    A value that is rare in training counts as unknown, except with `buckets`: then every value
    is hashed into one of so many, which suits columns of very many values.
    """

    columns: tuple[str, ...]
    buckets: int | None

    dtypes: ClassVar[tuple[Dtype, ...]] = ("category", "text", "integer")

    def __init__(self, *columns: str, buckets: int | None = None) -> None:
        object.__setattr__(self, "columns", _named(self, columns))
        object.__setattr__(self, "buckets", buckets)
        require(buckets is None or buckets >= 1, self, "buckets", buckets, "none, or at least 1")


@declaration
class Sequence:
    """A feature that is a list, `last_n(k)` of ids or texts: its k columns in order, newest first.

    of: the category column whose values these are; a network then learns one meaning for both
    buckets: see `Categories`; not beside `of`, whose buckets it has
    """

    feature: str = field(kw_only=False)
    of: str | None = None
    buckets: int | None = None

    dtypes: ClassVar[tuple[Dtype, ...]] = ()

    def __post_init__(self) -> None:
        require(self.buckets is None or (self.buckets >= 1 and self.of is None), self, "buckets",
                self.buckets, "none, or at least 1 and no `of`")

    @property
    def columns(self) -> tuple[str, ...]:
        """None of the event: it is a feature."""
        return ()


@declaration
class Embedding:
    """A column that is a list of `size` numbers, such as what another model makes of a picture or
    a text: `Embedding("picture", size=64)`. It is read as it is; a missing one is all zeros.
    """

    column: str = field(kw_only=False)
    size: int

    dtypes: ClassVar[tuple[Dtype, ...]] = ("number",)

    def __post_init__(self) -> None:
        require(self.size >= 1, self, "size", self.size, "at least 1")

    @property
    def columns(self) -> tuple[str, ...]:
        """None of the event's plain columns: it is a list."""
        return ()

    @property
    def places(self) -> tuple[str, ...]:
        """Of its numbers in a feature vector: `picture_1`, `picture_2` ..."""
        return tuple(f"{self.column}_{place}" for place in range(1, self.size + 1))


Input = Text | Numbers | Categories | Sequence | Embedding


def _named(owner: object, columns: Several[str]) -> tuple[str, ...]:
    require(bool(columns) and all(isinstance(column, str) for column in columns), owner, "columns",
            columns, "at least one name of a column")
    return tuple(columns)
