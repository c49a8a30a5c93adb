"""Texts as bags of hashed n-grams, numbers as standardised columns.

The one place where inputs of the network are made: training and serving both call it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from zlib import crc32

import numpy as np
import numpy.typing as npt

from ml_assets.core.system import TextField

Floats = npt.NDArray[np.float32]

WORD = re.compile(r"[\w$'!]{1,24}")
MULTIPLIER = np.uint32(2_654_435_761)
"""Knuth's multiplicative hash (The Art of Computer Programming, volume 3, section 6.4)."""


@dataclass(frozen=True, kw_only=True)
class Bags:
    """A ragged batch of weighted buckets: bag i is `[offsets[i], offsets[i+1])`.

    buckets: (N,) int64 in [0, fields * buckets); weights: (N,) float32; offsets: (B*F+1,)
    int64 where F is the number of fields (at least 1): bag `b*F + f` is field f of row b.
    """

    buckets: npt.NDArray[np.int64]
    weights: Floats
    offsets: npt.NDArray[np.int64]


def encode_texts(
    fields: Sequence[TextField], texts: Mapping[str, Sequence[str]], buckets: int, *, rows: int
) -> Bags:
    """Hash each field of each of `rows` rows into a bag of its distinct n-grams.

    An n-gram that occurs k times weighs `1 + log(k)`. Fields hash into ranges of their own.
    Without fields, each row has one empty bag.
    """
    parts: list[npt.NDArray[np.int64]] = []
    weights: list[Floats] = []
    for row in range(rows):
        for place, field in enumerate(fields):
            grams = HASHES[field.unit](texts[field.column][row])
            found, times = np.unique(grams >> np.uint32(32 - buckets.bit_length() + 1),
                                     return_counts=True)
            parts.append(found.astype(np.int64) + place * buckets)
            weights.append((1.0 + np.log(times)).astype(np.float32))
    lengths = [len(part) for part in parts] or [0] * rows
    return Bags(
        buckets=np.concatenate(parts) if parts else np.empty(0, np.int64),
        weights=np.concatenate(weights) if weights else np.empty(0, np.float32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )


def byte_grams(text: str) -> npt.NDArray[np.uint32]:
    """The hashes of the text's UTF-8 byte 4-grams."""
    codes = np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8).astype(np.uint32)
    if len(codes) < 4:
        return np.empty(0, np.uint32)
    grams = codes[:-3] << 24 | codes[1:-2] << 16 | codes[2:-1] << 8 | codes[3:]
    return np.asarray(grams * MULTIPLIER, dtype=np.uint32)


def word_grams(text: str) -> npt.NDArray[np.uint32]:
    """The hashes of the text's lower-case words and pairs of neighbouring words."""
    words = WORD.findall(text.lower())
    hashes = [crc32(word.encode("utf-8", "surrogateescape")) for word in words]
    single = np.array(hashes, dtype=np.uint32)
    pairs = np.array([a * 31 ^ b for a, b in pairwise(hashes)], dtype=np.uint64)
    return np.concatenate([single, pairs.astype(np.uint32)]) * MULTIPLIER


HASHES = {"bytes": byte_grams, "words": word_grams}


@dataclass(frozen=True, kw_only=True)
class NaiveBayesWeights:
    """How much each bucket tells about the label: |log of its naive-Bayes ratio|.

    Wang and Manning, "Baselines and Bigrams" (2012): scaling a linear model's inputs by this
    ratio gives it the strength of naive Bayes where data is scarce. (fields * buckets,)
    """

    importance: Floats

    @classmethod
    def fit(cls, bags: Bags, labels: npt.NDArray[np.bool_], size: int) -> NaiveBayesWeights:
        """From the bags of rows and their labels (B,); a bucket never seen weighs nothing."""
        fields = (len(bags.offsets) - 1) // max(1, len(labels))
        of_bucket = np.repeat(np.repeat(labels, fields), np.diff(bags.offsets))
        positive = 1.0 + np.bincount(bags.buckets[of_bucket], minlength=size)
        negative = 1.0 + np.bincount(bags.buckets[~of_bucket], minlength=size)
        ratio = np.log(positive / positive.sum()) - np.log(negative / negative.sum())
        seen = positive + negative > 2
        return cls(importance=np.where(seen, np.abs(ratio), 0).astype(np.float32))

    def __call__(self, bags: Bags) -> Bags:
        """The bags reweighted, and of length 1 (L2) again."""
        weights = bags.weights * self.importance[bags.buckets]
        lengths = np.diff(bags.offsets)
        squares = np.concatenate([[0.0], np.cumsum(weights.astype(np.float64) ** 2)])
        norms = np.sqrt(np.diff(squares[bags.offsets]))
        scale = np.where(norms > 1e-12, 1 / np.maximum(norms, 1e-12), 0)
        return Bags(
            buckets=bags.buckets,
            weights=(weights * np.repeat(scale, lengths)).astype(np.float32),
            offsets=bags.offsets,
        )


@dataclass(frozen=True, kw_only=True)
class Standardiser:
    """Signed logarithms brought to mean 0 and deviation 1; a missing value becomes 0.

    Each column gives two inputs: its value and whether it was missing. (D,) -> (2D,)
    """

    mean: Floats
    deviation: Floats

    @classmethod
    def fit(cls, dense: Floats) -> Standardiser:
        """Learn from (B, D); a column without values or without spread stays harmless."""
        logs = _signed_log(dense)
        present = np.isfinite(logs)
        count = np.maximum(present.sum(axis=0), 1)
        mean = np.where(present, logs, 0).sum(axis=0) / count
        variance = np.where(present, (logs - mean) ** 2, 0).sum(axis=0) / count
        deviation = np.where(variance > 1e-12, np.sqrt(variance), 1.0)
        return cls(mean=mean.astype(np.float32), deviation=deviation.astype(np.float32))

    def __call__(self, dense: Floats) -> Floats:
        """(B, D) -> (B, 2D), clipped to 5 deviations."""
        logs = (_signed_log(dense) - self.mean) / self.deviation
        missing = ~np.isfinite(logs)
        values = np.clip(np.where(missing, 0, logs), -5, 5)
        return np.concatenate([values, missing], axis=1).astype(np.float32)


def _signed_log(dense: Floats) -> Floats:
    return np.asarray(np.sign(dense) * np.log1p(np.abs(dense)), dtype=np.float32)
