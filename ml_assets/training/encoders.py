"""Texts as bags of hashed n-grams, numbers as standardised columns.

The one place where inputs of the network are made: training and serving both call it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml_assets.core.system import TextField
from ml_assets.training.ngrams import HASHES

Floats = npt.NDArray[np.float32]

BLOCK = 2**16
"""Characters that are encoded together: their n-grams are sorted within the processor's cache."""


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
    Without fields, each row has one empty bag. Of a row, the same whatever the others are.
    """
    parts = [bags for _, bags in encoded_blocks(fields, texts, buckets, rows=rows)]
    lengths = [np.diff(bags.offsets) for bags in parts] or [np.zeros(rows, np.int64)]
    return Bags(
        buckets=np.concatenate([bags.buckets for bags in parts] or [np.empty(0, np.int64)]),
        weights=np.concatenate([bags.weights for bags in parts] or [np.empty(0, np.float32)]),
        offsets=np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64),
    )


def encoded_blocks(
    fields: Sequence[TextField], texts: Mapping[str, Sequence[str]], buckets: int, *, rows: int
) -> Iterator[tuple[slice, Bags]]:
    """The bags of some rows after the other, so that not all have to be held at once.

    Nothing without fields.
    """
    columns = [texts[field.column] for field in fields]
    # A bag and a bucket are sorted as one number of 32 bits.
    most = max(1, 2**32 // (max(1, len(fields)) * buckets))
    start = size = 0
    for row in range(rows if fields else 0):
        more = sum(len(column[row]) for column in columns)
        if row > start and (size + more > BLOCK or row - start == most):
            yield slice(start, row), _encoded(fields, columns, buckets, slice(start, row))
            start, size = row, 0
        size += more
    if columns and rows:
        yield slice(start, rows), _encoded(fields, columns, buckets, slice(start, rows))


def _encoded(
    fields: Sequence[TextField], columns: Sequence[Sequence[str]], buckets: int, rows: slice
) -> Bags:
    bits = buckets.bit_length() - 1
    parts = []
    for place, (field, column) in enumerate(zip(fields, columns, strict=True)):
        hashes, owners = HASHES[field.unit](column[rows])
        parts.append((owners * len(fields) + place) << bits | hashes >> 32 - bits)
    grams = np.concatenate(parts) if len(parts) > 1 else parts[0]
    grams.sort()
    differs = np.ones(len(grams) + 1, bool)
    np.not_equal(grams[1:], grams[:-1], out=differs[1:-1])
    [edges] = differs.nonzero()
    found = grams[edges[:-1]]
    offsets = np.zeros((rows.stop - rows.start) * len(fields) + 1, np.int64)
    np.bincount(found >> bits, minlength=len(offsets) - 1).cumsum(out=offsets[1:])
    return Bags(
        buckets=(found % (len(fields) * buckets)).astype(np.int64),
        weights=(1.0 + np.log(edges[1:] - edges[:-1])).astype(np.float32),
        offsets=offsets,
    )


def sums(
    values: npt.NDArray[np.floating], offsets: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """The sum of `values[offsets[i]:offsets[i+1]]` for each i, added up from left to right.

    Differences of running totals would round otherwise beside other neighbours.
    """
    bags = len(offsets) - 1
    owners = np.arange(bags).repeat(offsets[1:] - offsets[:-1])
    return np.asarray(np.bincount(owners, weights=values, minlength=bags), dtype=np.float64)


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
        norms = np.sqrt(sums(weights.astype(np.float64) ** 2, bags.offsets))
        scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 1e-12)
        scale_N = scale.repeat(bags.offsets[1:] - bags.offsets[:-1])
        return Bags(buckets=bags.buckets, weights=(weights * scale_N).astype(np.float32),
                    offsets=bags.offsets)


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
        """(B, D) -> (B, 2D), clipped to 5 deviations; a row the same whatever the others are."""
        logs = (_signed_log(dense) - self.mean) / self.deviation
        missing = ~np.isfinite(logs)
        logs[missing] = 0
        values = np.minimum(np.maximum(logs, -5), 5)
        return np.concatenate([values, missing], axis=1, dtype=np.float32)


def _signed_log(dense: Floats) -> Floats:
    dense = np.ascontiguousarray(dense, dtype=np.float32)
    return np.copysign(np.log1p(np.abs(dense)), dense)
