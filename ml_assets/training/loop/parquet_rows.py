"""Rows of a Parquet file, streamed: a few row groups are in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from ml_assets.core.storage.row_range import Piece, RowRange
from ml_assets.training.loop.blocks import InMemory, RowBlock, order_of, shuffled

Encode = Callable[[pa.Table], RowBlock]
"""From some rows of the file to what the network takes of them. Each row alone decides."""


@dataclass(frozen=True, kw_only=True)
class ParquetRows:
    """A `BlockSource`: rows of a file.

    columns: that `encode` reads
    buffer: rows that are in memory, and shuffled, at a time. An epoch takes the row groups in
        random order, fills the buffer with as many as fit, and shuffles the rows in it: so the
        more groups fit, the better rows of different times mix. A group that does not fit is
        taken in portions. If all rows fit, they are read once and stay
    shuffle: whether to do so; without, the rows come in the order of the file
    """

    stored: RowRange
    columns: Sequence[str]
    encode: Encode
    buffer: int = 2**18
    shuffle: bool = True

    @property
    def rows(self) -> int:
        return len(self.stored)

    def __call__(self, epoch: int, seed: int) -> Iterator[RowBlock]:
        if self.rows <= self.buffer:
            yield from InMemory(block=self._all, shuffle=self.shuffle)(epoch, seed)
            return
        if not self.shuffle:
            yield from map(self.encode, self.stored.tables(self.columns))
            return
        random = order_of(epoch, seed)
        order = [self._pieces[each] for each in random.permutation(len(self._pieces))]
        for table in self.stored.tables(self.columns, most=self.buffer, pieces=order):
            block = self.encode(table)
            del table  # a block may be as large
            yield from shuffled(block, random)

    @cached_property
    def _all(self) -> RowBlock:
        return self.encode(self.stored.table(self.columns))

    @cached_property
    def _pieces(self) -> list[Piece]:
        return self.stored.pieces
