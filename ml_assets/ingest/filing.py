"""Rows that come one after the other, into partitions of the days on which they were received."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime

import pandas as pd
import pyarrow as pa

from ml_assets.core.time import DAY
from ml_assets.ingest.events import Raw, frame, table_of
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import RECORD_COLUMNS

PORTION, LARGEST_PORTION = 50_000, 200_000
"""Rows that are held in memory: written as soon as another day begins, or, if days alternate,
sooner or later. A single day is held whole."""
SHOWN = 5
AT, REQUEST = (RECORD_COLUMNS.index(name) for name in ("accepted_at", "request"))


class Filing:
    """Files rows of raw records by the day on which they were received; of other days none.

    Each of `days` is replaced, also if no row is of it. Rows that come in the order of time are
    written once and a day's portion is in memory. Any others cost more, and end where they
    belong too, in the order in which they came.

    rows, bytes: how many were filed, and of what size their requests are; first: some of them
    """

    def __init__(
        self, lake: Lake, system: str, table: str, schema: pa.Schema, days: Sequence[date]
    ) -> None:
        self._lake, self._name, self._schema = lake, (system, table), schema
        self._held: dict[date, list[Raw]] = {}
        self._empty, self._begun = dict.fromkeys(days), set[date]()
        self.rows = self.bytes = 0
        self._first: list[Raw] = []

    def add(self, rows: Iterable[Raw]) -> None:
        waiting = 0
        for row in rows:
            at, request = row[AT], row[REQUEST]
            assert isinstance(at, datetime) and isinstance(request, str)
            if (day := at.date()) not in self._empty and day not in self._begun:
                continue
            if waiting >= PORTION and (
                day not in self._held or (waiting >= LARGEST_PORTION and len(self._held) > 1)
            ):
                self._write()
                waiting = 0
            self._held.setdefault(day, []).append(row)
            self.rows, self.bytes, waiting = self.rows + 1, self.bytes + len(request), waiting + 1

    def close(self) -> None:
        """Write what is held, and the days that have no row."""
        self._write()
        for day in list(self._empty):
            self._put(day, [])

    @property
    def first(self) -> pd.DataFrame:
        return frame(self._first)

    def _write(self) -> None:
        for day in list(self._held):
            self._put(day, self._held.pop(day))

    def _put(self, day: date, rows: list[Raw]) -> None:
        self._first += rows[: SHOWN - len(self._first)]
        held = table_of(rows, self._schema)
        if day in self._begun:  # the rows are in no order of time
            before = self._lake.read_table(*self._name, self._schema, start=day, end=day + DAY)
            held = pa.concat_tables([before, held])
        self._lake.write(*self._name, day, held, self._schema)
        self._begun.add(day)
        self._empty.pop(day, None)
