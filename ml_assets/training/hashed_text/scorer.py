"""A trained model as its users see it: rows in, outputs out. No torch is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ml_assets.core.model import Text
from ml_assets.core.target import Scale, Target
from ml_assets.training.encoding.codebook import Codebook
from ml_assets.training.encoding.columns import Pieces, Standardiser, Vocabularies
from ml_assets.training.hashed_text.bags import Floats, NaiveBayesWeights, encoded_blocks
from ml_assets.training.hashed_text.weights import Weights
from ml_assets.training.scored import Parts

FORM = "hashed_text"
NETWORK, CODES = "network.", "code."
"""Prefixes of the network's tensors, and of known codes, among those that are stored."""


@dataclass(frozen=True, kw_only=True)
class HashedTextScorer:
    """Scores rows of texts and numbers; made by `fit`, stored and loaded by `artifact`.

    target: what it was trained to predict; scale: of the labels that it was trained on
    feature_names: the D columns of `dense`, in order
    numbers: those of them that are read as numbers
    categories: of the event; coded: columns of `dense` that are codes of texts, each with its rows
    of a table
    """

    target: Target
    scale: Scale
    fields: tuple[Text, ...]
    feature_names: tuple[str, ...]
    numbers: tuple[str, ...]
    buckets: int
    weighting: NaiveBayesWeights
    standardiser: Standardiser
    pieces: Pieces
    categories: Vocabularies
    coded: Mapping[str, Codebook]
    weights: Weights

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The text and category columns that are read, each once."""
        return tuple(dict.fromkeys(
            (*(field.column for field in self.fields), *self.categories.known)))

    @property
    def parameters(self) -> int:
        """How many numbers were learnt."""
        return self.weights.count

    def rescaled(self, scale: Scale) -> HashedTextScorer:
        """The same with another scale."""
        return replace(self, scale=scale)

    @property
    def parts(self) -> Parts:
        """All that is stored of it."""
        tensors: dict[str, npt.NDArray[Any]] = {
            "importance": self.weighting.importance,
            "mean": self.standardiser.mean,
            "deviation": self.standardiser.deviation,
            "edges": self.pieces.edges,
            **{f"{CODES}{name}": book.known for name, book in self.coded.items()},
            **{f"{NETWORK}{name}": value for name, value in self.weights.tensors().items()},
        }
        about = {
            "fields": msgspec.to_builtins(self.fields), "buckets": self.buckets,
            "hidden": len(self.weights.hidden_HI), "pieces": self.pieces.edges.shape[1] - 1,
            "categories": dict(self.categories.known), "numbers": self.numbers,
            "coded": tuple(self.coded),
            "width": self.weights.tables[0].shape[1] if self.weights.tables else 0,
        }
        return Parts(form=FORM, about=about, tensors=tensors)

    def inputs(self, dense: Floats) -> Floats:
        """What the network sees of the numbers in (B, D), missing ones NaN."""
        dense = dense if len(self.numbers) == dense.shape[1] else dense[:, self._places]
        standard = self.standardiser(dense)
        if not self.pieces.count:
            return standard
        return np.concatenate([standard, self.pieces(dense)], axis=1)

    def rows(self, texts: Mapping[str, Sequence[str]], dense: Floats) -> npt.NDArray[np.int64]:
        """(B, C) of each category, of the event and of `dense`, the row in its table."""
        found = self.categories(texts, rows=len(dense))
        if not self.coded:
            return found
        codes = [book.of_codes(dense[:, self.feature_names.index(name)])
                 for name, book in self.coded.items()]
        return np.concatenate([found, np.stack(codes, axis=1)], axis=1)

    @cached_property
    def _places(self) -> list[int]:
        return [self.feature_names.index(name) for name in self.numbers]

    def outputs(
        self, texts: Mapping[str, Sequence[str]], dense: Floats
    ) -> npt.NDArray[np.float64]:
        """What `target.outputs` names, (B, W), for B rows of texts by column and dense (B, D).

        Missing numbers are NaN, missing categories empty. A row's outputs are the same, bit for
        bit, alone as in any batch at any place: each sum is made for one row by itself. torch's
        network gives the same within 1e-5 (`agreement.py`), in eight times the time.
        """
        inputs = self.inputs(dense)
        if self.weights.tables:
            inputs = self.weights.embedded(inputs, self.rows(texts, dense))
        logits_BK = self.weights.of_inputs(inputs)
        fields = self.fields
        for rows, block in encoded_blocks(fields, texts, self.buckets, rows=len(dense)):
            logits_BK[rows] += self.weights.of_texts(
                block, self.weighting.of(block), fields=len(fields)
            )
        return self.target.outputs_of(logits_BK, self.scale, self.feature_names, dense)
