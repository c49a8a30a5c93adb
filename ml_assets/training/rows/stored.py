"""Rows with labels that lie in a training set's file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ml_assets.core.storage.row_range import AT_ONCE, ROW, RowRange
from ml_assets.core.texts import key_text
from ml_assets.training.loop.blocks import BlockSource, RowBlock
from ml_assets.training.loop.parquet_rows import ParquetRows
from ml_assets.training.rows.labelled import LabelledRows
from ml_assets.training.rows.training_rows import Bools, Codes, Encode, TrainingRows
from ml_assets.training.scored import Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class RowLabels:
    """Of N neighbouring rows of a file, in memory: what a pass over all of them says.

    first: the number of the first row in the file
    codes: (N,) of the labels; weights: (N,) how much each row counts, None for 1 each
    shown: (N,) see `TrainingRows`
    """

    first: int
    codes: Codes
    weights: Floats | None = None
    shown: Bools | None = None


@dataclass(frozen=True, kw_only=True)
class RowReading:
    """From columns of the file to `LabelledRows`: a pure function of each row."""

    texts: tuple[str, ...]
    feature_names: tuple[str, ...]
    coded: frozenset[str]
    ids: frozenset[str]
    labels: RowLabels

    @property
    def columns(self) -> tuple[str, ...]:
        """All that are read, each once."""
        return (*dict.fromkeys((*self.texts, *self.feature_names)), ROW)

    def __call__(self, table: pa.Table) -> LabelledRows:
        at, labels = table[ROW].to_numpy() - self.labels.first, self.labels
        return LabelledRows(
            texts={name: [key_text(value) for value in table[name].to_pylist()]
                   for name in self.texts},
            dense=dense_of(table, self.feature_names),
            codes=labels.codes[at], feature_names=self.feature_names, coded=self.coded,
            ids=self.ids, weights=None if labels.weights is None else labels.weights[at],
            shown=None if labels.shown is None else labels.shown[at],
        )


@dataclass(frozen=True, kw_only=True)
class StoredRows:
    """`TrainingRows` that are read from a file whenever they are asked for, a portion at a time.
    """

    stored: RowRange
    reading: RowReading

    @property
    def codes(self) -> Codes:
        """(N,) of all labels."""
        labels = self.reading.labels
        return labels.codes[self.stored.start - labels.first:self.stored.stop - labels.first]

    @property
    def weights(self) -> Floats | None:
        """(N,) how much each row counts; None for 1 each."""
        labels = self.reading.labels
        return None if labels.weights is None else labels.weights[
            self.stored.start - labels.first:self.stored.stop - labels.first]

    @property
    def shown(self) -> Bools | None:
        """(N,) see `TrainingRows`."""
        labels = self.reading.labels
        return None if labels.shown is None else labels.shown[
            self.stored.start - labels.first:self.stored.stop - labels.first]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The D columns of `dense`, in order."""
        return self.reading.feature_names

    @property
    def coded(self) -> frozenset[str]:
        """Those of them that are codes of texts or ids."""
        return self.reading.coded

    @property
    def ids(self) -> frozenset[str]:
        """Columns of `texts` that hold ids: whole numbers, written out."""
        return self.reading.ids

    def __len__(self) -> int:
        return len(self.stored)

    def part(self, start: int, stop: int) -> StoredRows:
        """The rows `start` to `stop` (half-open)."""
        return replace(self, stored=self.stored.part(start, stop))

    def counting(self, which: Bools) -> StoredRows:
        """The same rows, of which all but these (N,) count nothing."""
        labels = self.reading.labels
        weights = np.zeros(len(labels.codes), np.float32)
        weights[self.stored.start - labels.first:self.stored.stop - labels.first] = (
            which if self.weights is None else which * self.weights)
        return replace(self, reading=replace(
            self.reading, labels=replace(labels, weights=weights)))

    def divided(self, share: float) -> tuple[TrainingRows, TrainingRows]:
        """The earlier rows, and the latest `share` of them; those of one instant are on one side.
        """
        first = len(self.stored.divided_in_time(share)[0])
        return self.part(0, first), self.part(first, len(self))

    def blocks(self) -> Iterator[LabelledRows]:
        """All rows in order, `AT_ONCE` at a time."""
        if 0 < len(self) <= AT_ONCE:
            yield self._few
        else:
            yield from map(self.reading, self.stored.tables(self.reading.columns))

    def sample(self, most: int) -> LabelledRows:
        """At most so many, evenly spread, in order; all if there are no more."""
        return self.whole() if len(self) <= most else self.reading(
            self.stored.sample(most, self.reading.columns))

    def whole(self) -> LabelledRows:
        """All rows, in memory."""
        return self._few if len(self) <= AT_ONCE else self.reading(
            self.stored.table(self.reading.columns))

    def source(self, encode: Encode, *, buffer: int, shuffle: bool) -> BlockSource:
        """Streamed from the file, unless all fit in the buffer."""
        return ParquetRows(
            stored=self.stored, columns=self.reading.columns, buffer=buffer, shuffle=shuffle,
            encode=ReadAndEncoded(reading=self.reading, encode=encode))

    @cached_property
    def _few(self) -> LabelledRows:
        """So few that they stay in memory."""
        return self.reading(self.stored.table(self.reading.columns))


@dataclass(frozen=True, kw_only=True)
class ReadAndEncoded:
    """From columns of the file to what a network takes."""

    reading: RowReading
    encode: Encode

    def __call__(self, table: pa.Table) -> RowBlock:
        return self.encode(self.reading(table))


def dense_of(table: pa.Table, names: tuple[str, ...]) -> Floats:
    """(B, D), NaN where a number is missing."""
    dense = np.empty((len(table), len(names)), np.float32)
    for place, name in enumerate(names):
        dense[:, place] = column_of(table, name, pa.float32())
    return dense


def column_of(table: pa.Table, name: str, kind: pa.DataType) -> npt.NDArray[Any]:
    """(B,) of a type of floats, NaN where a number is missing."""
    found: npt.NDArray[Any] = table[name].cast(kind, safe=False).combine_chunks().to_numpy(
        zero_copy_only=False)
    return found
