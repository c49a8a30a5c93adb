"""Texts as bags of hashed n-grams: training and serving both make them here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ml_assets.core.model import Text
from ml_assets.training.hashed_text.ngrams import HASHES

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
    fields: Sequence[Text], texts: Mapping[str, Sequence[str]], buckets: int, *, rows: int
) -> Bags:
    """Hash each field of each of `rows` rows into a bag of its distinct n-grams.

    An n-gram that occurs k times weighs `1 + log(k)`. Fields hash into ranges of their own.
    Without fields, each row has one empty bag. Of a row, the same whatever the others are.
    """
    buckets_of, weights_of = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    offsets = np.zeros(rows * max(1, len(fields)) + 1, np.int64)
    lengths = offsets[1:].reshape(rows, max(1, len(fields)))
    for some, block in encoded_blocks(fields, texts, buckets, rows=rows):
        buckets_of.append(block.buckets)
        weights_of.append(block.weights)
        lengths[some] = np.bincount(block.owners, minlength=block.bags).reshape(-1, len(fields))
    offsets.cumsum(out=offsets)
    return Bags(
        buckets=np.concatenate(buckets_of), weights=np.concatenate(weights_of), offsets=offsets
    )


class Block(NamedTuple):
    """The bags of some rows, each entry with the number of its bag, so that they need no offsets.

    buckets, weights: as in `Bags`; owners: (N,) int64, ascending, below `bags`
    """

    buckets: npt.NDArray[np.int64]
    weights: Floats
    owners: npt.NDArray[np.int64]
    bags: int


def encoded_blocks(
    fields: Sequence[Text], texts: Mapping[str, Sequence[str]], buckets: int, *, rows: int
) -> Iterator[tuple[slice, Block]]:
    """The bags of some rows after the other, so that not all have to be held at once.

    Nothing without fields.
    """
    # A missing text has no n-gram.
    columns = [[text or "" for text in column] if None in column else column
               for column in (texts[field.column] for field in fields)]
    for some in _blocks(columns, rows, 2**32 // (max(1, len(fields)) * buckets)):
        yield some, _encoded(fields, [column[some] for column in columns], buckets)


def _blocks(columns: Sequence[Sequence[str]], rows: int, most: int) -> Iterator[slice]:
    """Neighbouring rows with `BLOCK` characters together, and no more than `most`, or one.

    A bag and a bucket are sorted as one number of 32 bits: that is enough for `most` rows.
    """
    if not columns or not rows:
        return
    start = size = 0
    if rows > most or sum([sum(map(len, column)) for column in columns]) > BLOCK:
        for row in range(rows):
            more = sum(len(column[row]) for column in columns)
            if row > start and (size + more > BLOCK or row - start >= most):
                yield slice(start, row)
                start, size = row, 0
            size += more
    yield slice(start, rows)


def _encoded(
    fields: Sequence[Text], columns: Sequence[Sequence[str]], buckets: int
) -> Block:
    bits, bags = buckets.bit_length() - 1, len(columns[0]) * len(fields)
    parts = []
    for number, (field, column) in enumerate(zip(fields, columns, strict=True)):
        hashes, owners = HASHES[field.unit](column)
        hashes >>= 32 - bits
        if bags > 1:
            hashes |= (owners * len(fields) + number) << bits
        parts.append(hashes)
    grams = np.concatenate(parts) if len(parts) > 1 else parts[0]
    grams.sort()
    differs = np.empty(len(grams) + 1, bool)
    differs[0] = differs[-1] = True
    np.not_equal(grams[1:], grams[:-1], out=differs[1:-1])
    [edges] = differs.nonzero()
    packed = grams[edges[:-1]].astype(np.int64)
    times = edges[1:] - edges[:-1]
    return Block(
        buckets=packed % (len(fields) * buckets),
        weights=_WEIGHTS[times] if len(grams) < len(_WEIGHTS) else _weights(times),
        owners=packed >> bits,
        bags=bags,
    )


def _weights(times: npt.NDArray[np.int64]) -> Floats:
    return (1.0 + np.log(times)).astype(np.float32)


_WEIGHTS = _weights(np.arange(2**12).clip(min=1))
"""Few n-grams occur a few times at most: what they weigh is looked up."""


def sums(
    values: npt.NDArray[np.floating], owners: npt.NDArray[np.int64], bags: int
) -> npt.NDArray[np.float64]:
    """The sum of each bag's values, (bags,), added up from left to right.

    Differences of running totals would round otherwise beside other neighbours.
    """
    return np.asarray(np.bincount(owners, weights=values, minlength=bags), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class NaiveBayesWeights:
    """How much each bucket tells about the label: |log of its naive-Bayes ratio|.

    Wang and Manning, "Baselines and Bigrams" (2012): scaling a linear model's inputs by this
    ratio gives it the strength of naive Bayes where data is scarce. Of several groups, each is
    held against all others, and the largest ratio counts. (fields * buckets,)
    """

    importance: Floats

    @classmethod
    def fit(cls, bags: Bags, groups: npt.NDArray[np.int64], size: int) -> NaiveBayesWeights:
        """From the bags of rows and their groups (B,); a bucket never seen weighs nothing."""
        fields = (len(bags.offsets) - 1) // max(1, len(groups))
        of_bucket = np.repeat(np.repeat(groups, fields), np.diff(bags.offsets))
        counts = [np.bincount(bags.buckets[of_bucket == group], minlength=size)
                  for group in range(int(groups.max(initial=0)) + 1)]
        whole = np.sum(counts, axis=0)
        largest = np.zeros(size)
        # Two groups are each other's rest.
        for count in counts[1:] if len(counts) <= 2 else counts:
            inside, outside = 1.0 + count, 1.0 + (whole - count)
            ratio = np.log(inside / inside.sum()) - np.log(outside / outside.sum())
            np.maximum(largest, np.abs(ratio), out=largest)
        return cls(importance=np.where(whole > 0, largest, 0).astype(np.float32))

    def __call__(self, bags: Bags) -> Bags:
        """The bags reweighted, and of length 1 (L2) again."""
        count = len(bags.offsets) - 1
        owners = np.arange(count).repeat(np.diff(bags.offsets))
        block = Block(buckets=bags.buckets, weights=bags.weights, owners=owners, bags=count)
        return Bags(buckets=bags.buckets, weights=self.of(block), offsets=bags.offsets)

    def of(self, block: Block) -> Floats:
        """The weights of the block's entries, those of a bag of length 1 (L2) again."""
        weights = block.weights * self.importance[block.buckets]
        norms = np.sqrt(sums(np.square(weights, dtype=np.float64), block.owners, block.bags))
        scale = np.divide(1.0, norms, out=np.zeros(block.bags), where=norms > 1e-12)
        return (weights * scale[block.owners]).astype(np.float32)
