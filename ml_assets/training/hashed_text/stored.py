"""The network of hashed texts on disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import ModelRefused
from ml_assets.core.model import Text
from ml_assets.core.target import Scale, Target
from ml_assets.training.encoding.codebook import books_of
from ml_assets.training.encoding.columns import Pieces, Standardiser, Vocabularies
from ml_assets.training.hashed_text.bags import NaiveBayesWeights
from ml_assets.training.hashed_text.scorer import CODES, NETWORK, HashedTextScorer
from ml_assets.training.hashed_text.weights import Weights, require


class StoredHashedText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `model.json` says of this form. numbers: all features if there is none"""

    fields: tuple[Text, ...]
    buckets: int
    hidden: int
    pieces: int = 0
    categories: dict[str, tuple[str, ...]] = {}
    numbers: tuple[str, ...] | None = None
    coded: tuple[str, ...] = ()
    width: int = 0


def build(
    about: Mapping[str, Any], target: Target, scale: Scale, feature_names: tuple[str, ...],
    tensors: Mapping[str, npt.NDArray[Any]], files: Mapping[str, bytes],
) -> HashedTextScorer:
    """From the parts that `HashedTextScorer.parts` gave. Raises ModelRefused if they do not fit."""
    stored = msgspec.convert(about, StoredHashedText)
    _require_possible(stored)
    if not (np.asarray(tensors.get("deviation", 1)) > 0).all():
        raise ModelRefused("tensor 'deviation' holds numbers that are not above 0")
    read = feature_names if stored.numbers is None else stored.numbers
    if unknown := sorted({*read, *stored.coded} - set(feature_names)):
        raise ModelRefused(f"it reads {unknown}, which are not among its features")
    edges = require(tensors, "edges", (len(read), stored.pieces + 1))
    if (np.diff(edges, axis=1) < 0).any():
        raise ModelRefused("tensor 'edges' holds numbers that do not ascend")
    categories = Vocabularies(known=stored.categories)
    books = books_of(dict.fromkeys(stored.coded), CODES, tensors)
    sizes = (*categories.sizes, *(book.size for book in books.values()))
    vocabulary, numbers = len(stored.fields) * stored.buckets, len(read)
    return HashedTextScorer(
        target=target, scale=scale, fields=stored.fields,
        feature_names=feature_names, numbers=read, buckets=stored.buckets,
        weighting=NaiveBayesWeights(importance=require(tensors, "importance", (vocabulary,))),
        standardiser=Standardiser(mean=require(tensors, "mean", (numbers,)),
                                  deviation=require(tensors, "deviation", (numbers,))),
        pieces=Pieces(edges=edges), categories=categories, coded=books,
        weights=Weights.of(
            {name.removeprefix(NETWORK): value
             for name, value in tensors.items() if name.startswith(NETWORK)},
            vocabulary=vocabulary, hidden=stored.hidden, logits=target.logits,
            inputs=(2 + stored.pieces) * numbers + stored.width * len(sizes),
            categories=sizes, width=stored.width,
        ),
    )


def _require_possible(stored: StoredHashedText) -> None:
    """Raise ModelRefused for values that no training writes."""
    if stored.buckets < 1 or stored.buckets & (stored.buckets - 1):
        raise ModelRefused(f"buckets is {stored.buckets}; expected a power of two")
    for name in ("hidden", "pieces", "width"):
        if getattr(stored, name) < 0:
            raise ModelRefused(f"{name} is {getattr(stored, name)}; expected at least 0")
