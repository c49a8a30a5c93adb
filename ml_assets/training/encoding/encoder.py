"""Rows of texts and numbers become named arrays: training, batches and serving all do it here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_assets.core.model import Text
from ml_assets.training.encoding.codebook import Codebook, id_codes, text_codes
from ml_assets.training.encoding.columns import Standardiser
from ml_assets.training.encoding.shapes import Shapes
from ml_assets.training.encoding.tokens import token_count, token_ids

Floats = npt.NDArray[np.float32]
Texts = Mapping[str, Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A pure function of a row; what it learnt (`learning.py`) is its fields. No torch is needed.

    feature_names: the D columns of `dense`
    numbers: those of them that are read as numbers
    categories: category columns of the event, then those of `dense` that are codes
    sequences: features that are lists, each with its columns of `dense` in order
    of: the category column whose codebook a sequence shares
    ids: those category columns of the event that hold whole numbers
    vectors: columns that are lists of numbers, each with its columns of `dense` in order
    """

    feature_names: tuple[str, ...]
    numbers: tuple[str, ...]
    standardiser: Standardiser
    text_inputs: tuple[Text, ...]
    categories: Mapping[str, Codebook]
    sequences: Mapping[str, tuple[str, ...]]
    codebooks: Mapping[str, Codebook]
    of: Mapping[str, str]
    ids: frozenset[str] = frozenset()
    vectors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The text and category columns that are read, each once."""
        return tuple(dict.fromkeys((
            *(each.column for each in self.text_inputs),
            *(name for name in self.categories if name not in self._places))))

    def shapes(self, logits: int) -> Shapes:
        """What a network is told of the arrays."""
        return Shapes(
            numbers=self.numbers,
            categories={name: book.size for name, book in self.categories.items()},
            texts={each.column: (each.length, token_count(each.unit, each.ids))
                   for each in self.text_inputs},
            sequences={name: (len(columns), self._book(name).size)
                       for name, columns in self.sequences.items()},
            of=self.of, logits=logits,
            vectors={name: len(columns) for name, columns in self.vectors.items()},
        )

    def __call__(self, texts: Texts, dense: Floats) -> dict[str, npt.NDArray[Any]]:
        """The arrays of B rows, by name; see `Shapes`. Of a row, the same whatever the others are.
        """
        arrays: dict[str, npt.NDArray[Any]] = {}
        if self.numbers:
            every = len(self.numbers) == dense.shape[1]
            arrays["numbers"], arrays["missing"] = self.standardiser.parts(
                dense if every else dense[:, self._number_places])
        if self.categories:
            arrays["categories"] = np.stack([
                book.of_codes(
                    dense[:, self._places[name]] if name in self._places
                    else id_codes(texts[name]) if name in self.ids else text_codes(texts[name]))
                for name, book in self.categories.items()
            ], axis=1)
        for each in self.text_inputs:
            arrays[each.column] = token_ids(texts[each.column], each.unit, length=each.length,
                                            ids=each.ids)
        for name, places in self._sequence_places.items():
            arrays[name] = self._book(name).of_codes(dense[:, places])
        for name, places in self._vector_places.items():
            arrays[name] = np.nan_to_num(dense[:, places])
        return arrays

    def _book(self, sequence: str) -> Codebook:
        shared = self.of.get(sequence)
        return self.codebooks[sequence] if shared is None else self.categories[shared]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: at for at, name in enumerate(self.feature_names)}

    @cached_property
    def _number_places(self) -> list[int]:
        return [self._places[name] for name in self.numbers]

    @cached_property
    def _vector_places(self) -> dict[str, list[int]]:
        return {name: [self._places[column] for column in columns]
                for name, columns in self.vectors.items()}

    @cached_property
    def _sequence_places(self) -> dict[str, list[int]]:
        return {name: [self._places[column] for column in columns]
                for name, columns in self.sequences.items()}
