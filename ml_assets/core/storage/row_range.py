"""Neighbouring rows of a Parquet file, read a few row groups at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml_assets.core.errors import NotReady

AT_ONCE = 2**15
"""Rows that are in memory together unless a caller says otherwise."""
ROW = "row number"
"""A column that may be asked for beside those of the file: which of its rows each is."""


@dataclass(frozen=True)
class Piece:
    """Rows `start` to `stop` (half-open) of a row group, counted within it.

    first: the number of the group's first row
    """

    group: int
    start: int
    stop: int
    first: int


@dataclass(frozen=True, kw_only=True)
class RowRange:
    """The rows `start` to `stop` (half-open) of a file."""

    path: Path
    start: int
    stop: int

    @classmethod
    def of(cls, path: Path) -> RowRange:
        """All rows of a file."""
        return cls(path=path, start=0, stop=pq.read_metadata(path).num_rows)

    def __len__(self) -> int:
        return self.stop - self.start

    def part(self, start: int, stop: int) -> RowRange:
        """Those of these rows from `start` to `stop` (half-open), counted from the first of them.
        """
        return replace(self, start=self.start + start, stop=self.start + stop)

    @property
    def pieces(self) -> list[Piece]:
        """The parts of the file's row groups that hold these rows."""
        at, about, found = 0, pq.read_metadata(self.path), list[Piece]()
        for group in range(about.num_row_groups):
            rows = about.row_group(group).num_rows
            first, last = max(self.start - at, 0), min(self.stop - at, rows)
            if first < last:
                found.append(Piece(group, first, last, at))
            at += rows
        return found

    def tables(
        self, columns: Sequence[str] | None = None, *, most: int = AT_ONCE,
        pieces: Sequence[Piece] | None = None,
    ) -> Iterator[pa.Table]:
        """The rows in order, in tables of at most `most` rows.

        pieces: these instead, in their order
        """
        with pq.ParquetFile(self.path) as file:
            held, rows = list[pa.Table](), 0
            for piece in self.pieces if pieces is None else pieces:
                for table in _read(file, piece, columns, most):
                    if rows + len(table) > most:
                        yield pa.concat_tables(held)
                        held, rows = [], 0
                    held.append(table)
                    rows += len(table)
            if held:
                yield pa.concat_tables(held)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All of them, in memory."""
        empty = _selected(pq.read_schema(self.path).empty_table(), columns, first=0)
        return pa.concat_tables([empty, *self.tables(columns)])

    def sample(self, most: int, columns: Sequence[str] | None = None) -> pa.Table:
        """At most so many of the rows, evenly spread, in order; all if there are no more."""
        every = max(1, -(-len(self) // most))
        if every == 1:
            return self.table(columns)
        at, parts = 0, list[pa.Table]()
        for table in self.tables(columns):
            parts.append(table.take(pa.array(range(-at % every, len(table), every), pa.int64())))
            at += len(table)
        return pa.concat_tables(parts)

    def divided_in_time(
        self, share: float, *, column: str = "event_timestamp"
    ) -> tuple[RowRange, RowRange]:
        """The earlier rows, and the latest `share` of them, which may be none.

        Rows of one instant are on the same side. Raises NotReady if the rows are not in the order
        of `column`, or if no instant divides them.
        """
        count = len(self)
        cut = count - int(count * share)
        if cut < count:
            instants = np.concatenate([
                table.column(0).cast(pa.int64()).to_numpy() for table in self.tables([column])])
            if (np.diff(instants) < 0).any():
                raise NotReady(f"the rows of {self.path} are not in the order of {column!r}: "
                               "materialise the training set again")
            cut = int(np.searchsorted(instants, instants[cut]))
            if not cut:
                raise NotReady(
                    f"{count} rows of {self.path} cannot be divided in time, the latest "
                    f"{share:.0%} to validate on: ingest more days first, or declare validation=0")
        return self.part(0, cut), self.part(cut, count)


def _read(
    file: pq.ParquetFile, piece: Piece, columns: Sequence[str] | None, most: int
) -> Iterator[pa.Table]:
    """A piece, in tables of at most `most` rows."""
    named = None if columns is None else [name for name in columns if name != ROW]
    if file.metadata.row_group(piece.group).num_rows <= most:
        table = file.read_row_group(piece.group, columns=named)
        table = _selected(table, columns, first=piece.first)
        yield table.slice(piece.start, piece.stop - piece.start)
        return
    at = 0
    for batch in file.iter_batches(most, row_groups=[piece.group], columns=named):
        first, last = max(piece.start - at, 0), min(piece.stop - at, len(batch))
        if first < last:
            table = _selected(pa.Table.from_batches([batch]), columns, first=piece.first + at)
            yield table.slice(first, last - first)
        at += len(batch)


def _selected(table: pa.Table, columns: Sequence[str] | None, *, first: int) -> pa.Table:
    """The columns in their order, which a file does not keep to. first: the first row's number"""
    if columns is None:
        return table
    if ROW in columns:
        table = table.append_column(ROW, pa.array(np.arange(first, first + len(table))))
    return table.select(list(columns))
