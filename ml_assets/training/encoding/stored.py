"""What an encoder learnt, as JSON values and tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy.typing as npt

from ml_assets.core.errors import ModelRefused
from ml_assets.core.model import Text
from ml_assets.training.encoding.codebook import books_of
from ml_assets.training.encoding.columns import Standardiser
from ml_assets.training.encoding.encoder import Encoder
from ml_assets.training.hashed_text.weights import require

Tensors = Mapping[str, npt.NDArray[Any]]
CATEGORY, SEQUENCE = "category.", "sequence."


class StoredEncoder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that the tensors do not say. categories, codebooks: how many buckets, if any"""

    numbers: tuple[str, ...]
    text_inputs: tuple[Text, ...]
    categories: dict[str, int | None]
    sequences: dict[str, tuple[str, ...]]
    codebooks: dict[str, int | None]
    of: dict[str, str]
    ids: tuple[str, ...] = ()
    vectors: dict[str, tuple[str, ...]] = {}


def stored(encoder: Encoder) -> tuple[StoredEncoder, dict[str, npt.NDArray[Any]]]:
    """`encoder` in two parts."""
    tensors: dict[str, npt.NDArray[Any]] = {
        "mean": encoder.standardiser.mean, "deviation": encoder.standardiser.deviation}
    tensors |= {f"{CATEGORY}{name}": book.known for name, book in encoder.categories.items()}
    tensors |= {f"{SEQUENCE}{name}": book.known for name, book in encoder.codebooks.items()}
    about = StoredEncoder(
        numbers=encoder.numbers, text_inputs=encoder.text_inputs,
        categories={name: book.buckets for name, book in encoder.categories.items()},
        sequences=dict(encoder.sequences), of=dict(encoder.of),
        codebooks={name: book.buckets for name, book in encoder.codebooks.items()},
        ids=tuple(sorted(encoder.ids)), vectors=dict(encoder.vectors),
    )
    return about, tensors


def encoder_of(
    about: StoredEncoder, feature_names: tuple[str, ...], tensors: Tensors
) -> Encoder:
    """The inverse of `stored`. Raises ModelRefused for what no training writes."""
    lists = (*about.sequences.values(), *about.vectors.values())
    used = (*about.numbers, *(name for columns in lists for name in columns))
    if unknown := sorted(set(used) - set(feature_names)):
        raise ModelRefused(f"it reads {unknown}, which are not among its features")
    numbers = (len(about.numbers),)
    deviation = require(tensors, "deviation", numbers)
    if not (deviation > 0).all():
        raise ModelRefused("tensor 'deviation' holds numbers that are not above 0")
    return Encoder(
        feature_names=feature_names, numbers=about.numbers, text_inputs=about.text_inputs,
        standardiser=Standardiser(mean=require(tensors, "mean", numbers), deviation=deviation),
        categories=books_of(about.categories, CATEGORY, tensors), sequences=about.sequences,
        codebooks=books_of(about.codebooks, SEQUENCE, tensors), of=about.of,
        ids=frozenset(about.ids), vectors=about.vectors,
    )
