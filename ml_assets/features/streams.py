"""The streams that windowed views are computed from, as they lie in the lake."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq

from ml_assets.core.errors import NotReady
from ml_assets.core.settings import Settings
from ml_assets.features.manifest import View
from ml_assets.ingest.lake import Lake, naming


def read_stream(
    settings: Settings, view: View, days: Sequence[date] | None = None
) -> pa.Table:
    """What `view` reads of its stream, in the order of days; of all days unless some are given.

    Raises NotReady where a day's table is missing, or lacks a column that the view reads.
    """
    lake = Lake(settings.lake)
    there = lake.days(view.system, view.table)
    if not there:
        raise NotReady(f"{view.system}/{view.table} is not in the lake; materialise it first")
    names = columns_of(view)
    return pa.concat_tables(_day(lake, view, day, names)
                            for day in (there if days is None else days))


def columns_of(view: View) -> list[str]:
    """The columns that a view reads of its stream, each once."""
    windowed = view.windowed
    asked = [*windowed.keys, windowed.timestamp, windowed.created, windowed.event_id]
    asked += [slot.column for slot in windowed.slots]
    return list(dict.fromkeys(name for name in asked if name))


def _day(lake: Lake, view: View, day: date, names: list[str]) -> pa.Table:
    path = lake.partition(view.system, view.table, day)
    if not path.exists():
        raise NotReady(f"{view.system}/{view.table} of {day} is not in the lake; "
                       "materialise it first")
    with naming(path):
        file = pq.ParquetFile(path)
    found = file.schema_arrow.names
    lacking = [name for name in names if name not in found]
    if lacking:
        raise NotReady(f"{view.system}/{view.table} of {day} lacks the columns {lacking}, which "
                       f"{view.name} reads; it has {found}. Materialise it again.")
    with naming(path):
        return file.read(columns=names)
