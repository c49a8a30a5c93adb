"""A training set as it is stored: what is known of it, and a file of rows that are read on demand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ml_assets.core.errors import StateDamaged
from ml_assets.core.storage.row_range import RowRange
from ml_assets.ingest.lake import frame_of, naming

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """What a model is trained and judged on.

    version:  address of the content: the same rows, columns and service have the same
    as_of:    no label in it was known at or after this instant
    feature_names: the model's dense inputs: event numbers, then store features
    coded:    those of them that are codes of texts or ids, see `Service.coded`
    texts:    the model's texts
    partitions: the first and last day that an event in it happened
    labels:   how many rows it has
    events_lacking: labels left out because their event is not (a quarantined record, say)
    path:     the Parquet file
    """

    version: str
    as_of: datetime
    feature_names: tuple[str, ...]
    texts: tuple[str, ...]
    partitions: tuple[date, date]
    feature_service: str
    labels: int
    events_lacking: int
    path: Path
    coded: frozenset[str] = frozenset()

    @property
    def rows(self) -> pd.DataFrame:
        """All rows, in memory: for tests and small sets.

        Events whose whole maturity window had passed: event_id, event_timestamp, accepted_at,
        label, known_at, split ('train' or 'holdout'), all columns that the system declares, the
        store's features (NaN where unknown); ordered by event_timestamp; `holdout` are the latest
        events.
        """
        return self._frame(0, None)

    def frames(self, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """The same in order, some at a time; columns: of them, unless all."""
        with naming(self.path):
            for table in RowRange.of(self.path).tables(columns):
                yield frame_of(table)

    def column(self, name: str) -> pd.DataFrame:
        """One column of all rows."""
        with naming(self.path):
            return frame_of(RowRange.of(self.path).table([name]))

    def event_ids(self) -> Iterator[str]:
        """Of all rows, in order."""
        for rows in self.frames(["event_id"]):
            yield from rows["event_id"]

    def chosen(self, rows_N: npt.NDArray[np.bool_]) -> pd.DataFrame:
        """Those of all rows, of which there should be few, that a mask names."""
        with naming(self.path):
            at, parts = 0, [RowRange.of(self.path).part(0, 0).table()]
            for table in RowRange.of(self.path).tables():
                parts.append(table.filter(pa.array(rows_N[at : at + len(table)])))
                at += len(table)
            return frame_of(pa.concat_tables(parts))

    def first(self, count: int) -> pd.DataFrame:
        """The first rows."""
        return self._frame(0, min(count, self.labels))

    def held_out(self) -> pd.DataFrame:
        """The rows that nothing was trained on, all columns."""
        part = self.part("holdout")
        return self._frame(part.start, part.stop)

    def sample(self, most: int, columns: Sequence[str]) -> pd.DataFrame:
        """Some columns of at most so many rows, evenly spread over all; all if there are no more.
        """
        with naming(self.path):
            return frame_of(RowRange.of(self.path).sample(most, list(dict.fromkeys(columns))))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Of the file."""
        import pyarrow.parquet as pq

        with naming(self.path):
            return tuple(pq.read_schema(self.path).names)

    def part(self, split: Literal["train", "holdout"]) -> RowRange:
        """Where the rows of a split are. Raises StateDamaged if they are not beside each other."""
        with naming(self.path):
            rows = RowRange.of(self.path)
        first = self._first_held_out
        return rows.part(0, first) if split == "train" else rows.part(first, len(rows))

    @cached_property
    def _first_held_out(self) -> int:
        with naming(self.path):
            held_out_N = np.concatenate([np.empty(0, bool), *(
                table["split"].to_numpy() == "holdout"
                for table in RowRange.of(self.path).tables(["split"]))])
        first = len(held_out_N) - int(held_out_N.sum())
        if not held_out_N[first:].all():
            raise StateDamaged(f"{self.path} is damaged: rows that are held out lie between rows "
                               "that are not. Materialise the training set again")
        return first

    def _frame(self, start: int, stop: int | None) -> pd.DataFrame:
        with naming(self.path):
            rows = RowRange.of(self.path)
            return frame_of(rows.part(start, len(rows) if stop is None else stop).table())
