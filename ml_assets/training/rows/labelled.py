"""Rows with labels, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ml_assets.training.loop.blocks import BlockSource, InMemory
from ml_assets.training.rows.training_rows import Bools, Codes, Encode, TrainingRows
from ml_assets.training.scored import Floats, Texts


@dataclass(frozen=True, kw_only=True)
class LabelledRows:
    """`TrainingRows` that are in memory.

    texts: texts and categories, B of each column
    dense: (B, D) numbers, NaN where one is missing; feature_names: of the D columns
    codes: (B,) of the labels, as the target has them
    coded: those columns of `dense` that are codes of texts or ids
    ids: those columns of `texts` that hold ids: whole numbers, written out
    weights: (B,) how much each row counts; None for 1 each
    shown: (B,) see `TrainingRows`
    """

    texts: Texts
    dense: Floats
    codes: Codes
    feature_names: tuple[str, ...]
    coded: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    weights: Floats | None = None
    shown: Bools | None = None

    def __post_init__(self) -> None:
        if self.dense.shape != (wanted := (len(self), len(self.feature_names))):
            raise ValueError(f"dense is {self.dense.shape}; expected {wanted}: a row for each "
                             f"label, a column for each of {', '.join(self.feature_names)}")
        counts = {name: len(values) for name, values in self.texts.items()}
        for name in ("weights", "shown"):
            if (given := getattr(self, name)) is not None:
                counts[name] = len(given)
        for name, count in counts.items():
            if count != len(self):
                raise ValueError(f"there are {len(self)} labels, but {count} values of {name!r}; "
                                 "expected as many")

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, some: slice | npt.NDArray[np.int64]) -> LabelledRows:
        """Some of the rows."""
        texts = {name: values[some] if isinstance(some, slice) else [values[at] for at in some]
                 for name, values in self.texts.items()}
        return replace(self, texts=texts, dense=self.dense[some], codes=self.codes[some],
                       weights=None if self.weights is None else self.weights[some],
                       shown=None if self.shown is None else self.shown[some])

    def part(self, start: int, stop: int) -> LabelledRows:
        """The rows `start` to `stop` (half-open)."""
        return self.take(slice(start, stop))

    def counting(self, which: Bools) -> LabelledRows:
        """The same rows, of which all but these (N,) count nothing."""
        weights = which.astype(np.float32) if self.weights is None else which * self.weights
        return replace(self, weights=weights)

    def divided(self, share: float) -> tuple[TrainingRows, TrainingRows]:
        """By their number: nothing here says when they happened."""
        first = len(self) - int(len(self) * share)
        return self.part(0, first), self.part(first, len(self))

    def blocks(self) -> Iterator[LabelledRows]:
        """All of them at once: they are in memory already."""
        if len(self):
            yield self

    def sample(self, most: int) -> LabelledRows:
        """At most so many, evenly spread, in order; all if there are no more."""
        every = max(1, -(-len(self) // most))
        return self if every == 1 else self.take(slice(None, None, every))

    def whole(self) -> LabelledRows:
        """These."""
        return self

    def source(self, encode: Encode, *, buffer: int, shuffle: bool) -> BlockSource:
        """Encoded once."""
        return InMemory(block=encode(self), shuffle=shuffle)
