"""What a network is told of the arrays that come in."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """The named arrays of B rows, and how many logits are wanted of each.

    numbers: `numbers` and `missing`, float32 (B, N): the standardised number of each of these N
        columns, 0 where it is missing, and 1 where it is
    categories: `categories`, int64 (B, C): of each of these C columns a row of a table of so many
    texts: each int64 (B, L) under its column's name: (L, how many ids there are), padding is 0
    sequences: each int64 (B, k) under its feature's name: (k, rows of a table); 0 for none
    of: the category column whose table a sequence shares
    vectors: each float32 (B, size) under its column's name: its size; 0 where it is missing
    logits: 1 or more
    """

    numbers: tuple[str, ...] = ()
    categories: Mapping[str, int] = field(default_factory=dict)
    texts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    sequences: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    of: Mapping[str, str] = field(default_factory=dict)
    vectors: Mapping[str, int] = field(default_factory=dict)
    logits: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """Of all arrays."""
        return (*(("numbers", "missing") if self.numbers else ()),
                *(("categories",) if self.categories else ()), *self.texts, *self.sequences,
                *self.vectors)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns and features in them."""
        return (*self.numbers, *self.categories, *self.texts, *self.sequences, *self.vectors)

    def only(self, columns: Collection[str]) -> Shapes:
        """Of these columns alone."""
        return Shapes(
            numbers=tuple(name for name in self.numbers if name in columns),
            categories={name: of for name, of in self.categories.items() if name in columns},
            texts={name: of for name, of in self.texts.items() if name in columns},
            sequences={name: of for name, of in self.sequences.items() if name in columns},
            vectors={name: of for name, of in self.vectors.items() if name in columns},
            of=self.of, logits=self.logits,
        )
