"""A trained model as its users see it: rows in, probabilities out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ml_assets.core.system import TextField
from ml_assets.training.encoders import Floats, NaiveBayesWeights, Standardiser, encode_texts
from ml_assets.training.model import HashedTextNetwork, sparse_rows


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """Scores rows; made by `fit`, stored and loaded by `ml_assets.training.artifact`.

    feature_names: the D columns of `dense`, in order; threshold: the score from which the
    decision is True.
    """

    fields: tuple[TextField, ...]
    feature_names: tuple[str, ...]
    threshold: float
    buckets: int
    weighting: NaiveBayesWeights
    standardiser: Standardiser
    network: HashedTextNetwork

    @property
    def texts(self) -> tuple[str, ...]:
        """The text columns that are read, each once."""
        return tuple(dict.fromkeys(field.column for field in self.fields))

    def score(
        self, texts: Mapping[str, Sequence[str]], dense: Floats
    ) -> npt.NDArray[np.float64]:
        """Probabilities of True, (B,), for B rows of texts by column and dense (B, D).

        Missing numbers are NaN. A row scores the same alone as in a batch up to float32
        rounding.
        """
        bags = self.weighting(
            encode_texts(self.fields, texts, self.buckets, rows=len(dense))
        )
        inputs_BD = torch.from_numpy(self.standardiser(np.asarray(dense, np.float32)))
        text_BV = sparse_rows(
            bags, fields=len(self.fields), vocabulary=len(self.weighting.importance)
        )
        with torch.inference_mode():
            logits_B = self.network(text_BV, None, inputs_BD).double()
        return np.asarray(torch.sigmoid(logits_B).numpy())
