"""A trained model as its users see it: rows in, outputs out. No torch is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ml_assets.core.model import Text
from ml_assets.core.target import Scale, Target
from ml_assets.training.encoders import Floats, NaiveBayesWeights, encoded_blocks
from ml_assets.training.tabular import Pieces, Standardiser, Vocabularies
from ml_assets.training.weights import Weights


@dataclass(frozen=True, kw_only=True)
class HashedTextScorer:
    """Scores rows of texts and numbers; made by `fit`, stored and loaded by `artifact`.

    target: what it was trained to predict; scale: of the labels that it was trained on
    feature_names: the D columns of `dense`, in order
    """

    target: Target
    scale: Scale
    fields: tuple[Text, ...]
    feature_names: tuple[str, ...]
    buckets: int
    weighting: NaiveBayesWeights
    standardiser: Standardiser
    pieces: Pieces
    categories: Vocabularies
    weights: Weights

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The text and category columns that are read, each once."""
        return tuple(dict.fromkeys(
            (*(field.column for field in self.fields), *self.categories.known)))

    def inputs(self, dense: Floats) -> Floats:
        """What the network sees of numbers (B, D), missing ones NaN."""
        standard = self.standardiser(dense)
        if not self.pieces.count:
            return standard
        return np.concatenate([standard, self.pieces(dense)], axis=1)

    def outputs(
        self, texts: Mapping[str, Sequence[str]], dense: Floats
    ) -> npt.NDArray[np.float64]:
        """What `target.outputs` names, (B, W), for B rows of texts by column and dense (B, D).

        Missing numbers are NaN, missing categories empty. A row's outputs are the same, bit for
        bit, alone as in any batch at any place: each sum is made for one row by itself. torch's
        network gives the same within 1e-5 (`agreement.py`), in eight times the time.
        """
        inputs = self.inputs(dense)
        if self.categories.known:
            inputs = self.weights.embedded(inputs, self.categories(texts, rows=len(dense)))
        logits_BK = self.weights.of_inputs(inputs)
        fields = self.fields
        for rows, block in encoded_blocks(fields, texts, self.buckets, rows=len(dense)):
            logits_BK[rows] += self.weights.of_texts(
                block, self.weighting.of(block), fields=len(fields)
            )
        return self.target.link(logits_BK, self.scale)
