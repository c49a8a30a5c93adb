"""Rows of a Parquet file, streamed: a few row groups are in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml_assets.core.errors import NotReady
from ml_assets.training.loop.blocks import InMemory, RowBlock, order_of, shuffled

Encode = Callable[[pa.Table], RowBlock]
"""From some rows of the file to what the network takes of them. Each row alone decides."""


@dataclass(frozen=True)
class Piece:
    """Rows `start` to `stop` (half-open) of a row group, counted within it."""

    group: int
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class ParquetRows:
    """A `BlockSource`: the rows `start` to `stop` (half-open) of a file.

    columns: that `encode` reads
    buffer: rows that are in memory, and shuffled, at a time. An epoch takes the row groups in
        random order, fills the buffer with as many as fit, and shuffles the rows in it: so the
        more groups fit, the better rows of different times mix. A group that does not fit is
        taken in portions. If all rows fit, they are read once and stay
    shuffle: whether to do so; without, the rows come in the order of the file
    """

    path: Path
    columns: Sequence[str]
    encode: Encode
    start: int
    stop: int
    buffer: int = 2**18
    shuffle: bool = True

    @property
    def rows(self) -> int:
        return self.stop - self.start

    def __call__(self, epoch: int, seed: int) -> Iterator[RowBlock]:
        if self.rows <= self.buffer:
            yield from InMemory(block=self._all, shuffle=self.shuffle)(epoch, seed)
            return
        if not self.shuffle:
            yield from map(self.encode, self.tables())
            return
        random = order_of(epoch, seed)
        pieces = self._pieces
        for table in self._filled([pieces[each] for each in random.permutation(len(pieces))]):
            block = self.encode(table)
            del table  # a block may be as large
            yield from shuffled(block, random)

    def tables(self) -> Iterator[pa.Table]:
        """All rows in the order of the file, at most `buffer` at a time: to learn an encoder."""
        return self._filled(self._pieces)

    def sample(self, most: int) -> pa.Table:
        """At most so many of the rows, evenly spread over the file, in its order."""
        every = max(1, -(-self.rows // most))
        at, parts = 0, list[pa.Table]()
        for table in self.tables():
            parts.append(table.take(pa.array(range(-at % every, len(table), every), pa.int64())))
            at += len(table)
        return pa.concat_tables(parts)

    @cached_property
    def _all(self) -> RowBlock:
        return self.encode(pa.concat_tables(self.tables()))

    @cached_property
    def _pieces(self) -> list[Piece]:
        return list(pieces_of(self.path, self.start, self.stop))

    def _filled(self, pieces: Sequence[Piece]) -> Iterator[pa.Table]:
        """The rows of these pieces, in tables of at most `buffer` rows."""
        with pq.ParquetFile(self.path) as file:
            held, rows = list[pa.Table](), 0
            for piece in pieces:
                for table in self._read(file, piece):
                    if rows + len(table) > self.buffer:
                        yield pa.concat_tables(held)
                        held, rows = [], 0
                    held.append(table)
                    rows += len(table)
            if held:
                yield pa.concat_tables(held)

    def _read(self, file: pq.ParquetFile, piece: Piece) -> Iterator[pa.Table]:
        """A piece, in tables of at most `buffer` rows."""
        if file.metadata.row_group(piece.group).num_rows <= self.buffer:
            table = file.read_row_group(piece.group, columns=list(self.columns))
            yield table.slice(piece.start, piece.stop - piece.start)
            return
        at = 0
        for batch in file.iter_batches(
                self.buffer, row_groups=[piece.group], columns=list(self.columns)):
            first, last = max(piece.start - at, 0), min(piece.stop - at, len(batch))
            at += len(batch)
            if first < last:
                yield pa.Table.from_batches([batch.slice(first, last - first)])


def pieces_of(path: Path, start: int, stop: int) -> Iterator[Piece]:
    """The parts of a file's row groups that hold its rows `start` to `stop`."""
    at, about = 0, pq.read_metadata(path)
    for group in range(about.num_row_groups):
        rows = about.row_group(group).num_rows
        first, last = max(start - at, 0), min(stop - at, rows)
        if first < last:
            yield Piece(group, first, last)
        at += rows


def parts_in_time(
    path: Path, share: float, *, column: str = "event_timestamp", stop: int | None = None
) -> tuple[range, range]:
    """The numbers of the rows to fit to, and of the latest `share` of them, to validate on.

    The file's rows, up to `stop`, are in the order of `column`; those of one instant are on the
    same side. Raises NotReady if they are in another order, or no instant divides them.
    """
    with pq.ParquetFile(path) as file:
        instants = np.concatenate([np.empty(0, np.int64), *(
            batch.column(0).cast(pa.int64()).to_numpy()
            for batch in file.iter_batches(columns=[column]))])[:stop]
    if (np.diff(instants) < 0).any():
        raise NotReady(f"the rows of {path} are not in the order of {column!r}: materialise the "
                       "training set again")
    if not share:
        return range(len(instants)), range(0)
    late = int(len(instants) * (1 - share))
    cut = int(np.searchsorted(instants, instants[late])) if late < len(instants) else late
    if not 0 < cut < len(instants):
        raise NotReady(
            f"{len(instants)} rows of {path} cannot be divided in time, the latest {share:.0%} to "
            "validate on: ingest more days first, or declare validation=0"
        )
    return range(cut), range(cut, len(instants))
