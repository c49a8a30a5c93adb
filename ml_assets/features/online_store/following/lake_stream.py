"""The streams that windowed views are computed from, as they lie in the lake."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml_assets.core.errors import NotReady, unknown
from ml_assets.core.system import System
from ml_assets.features.engine.columns import instants
from ml_assets.features.engine.windows import WindowedView
from ml_assets.ingest.contracts.rows import read_event
from ml_assets.ingest.lake import Lake, naming
from ml_assets.ingest.log.served import from_us
from ml_assets.ingest.log.told import LABELS
from ml_assets.ingest.posted import read_json
from ml_assets.ingest.tables import LOG_SEQ


@dataclass(frozen=True)
class Origins:
    """Where the online state gets what the event log does not have packed.

    lake: its folder; find: a system by its name, raises UnknownName
    """

    lake: Path
    find: Callable[[str], System]

    def parser(self, system: str, table: str) -> Callable[[str], Mapping[str, object]]:
        """What makes the columns of an event of its request, for a table of the lake.

        Raises UnknownName if there is no such system, or no stream with this table.
        """
        if table == LABELS:
            return read_json
        found = self.find(system)
        streams = {stream.table: stream for stream in found.streams}
        if table not in streams:
            raise unknown(f"stream of {system!r}", table, streams)
        return lambda request: read_event(found, request, streams[table])

    def loaded(
        self, view: WindowedView, system: str, table: str, since: int, until: int
    ) -> pa.Table | None:
        """The rows that a load has counted: filed in [since, until), in microseconds since 1970
        UTC, and without a position of their own. None if there are none.

        Raises NotReady if one of the days is not in the lake.
        """
        lake = Lake(self.lake)
        there = lake.days(system, table)
        last = from_us(until - 1).date()
        first = from_us(since).date() if since > _EVER else min([*there, last])
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        if since <= _EVER:
            days = [day for day in days if day in there]
        if not days:
            return None
        rows = read_stream(lake, view, system, table, days, served=False)
        filed = filed_by(view)
        rows = rows.filter(pc.is_valid(rows[filed]))
        at = instants(rows[filed], filed, f"feature view {view.name!r}")
        return rows.filter(pa.array((at >= since) & (at < until)))


_EVER = -(2**60)
"""Before it, a load began with all that there was."""


def filed_by(view: WindowedView) -> str:
    """The column that decides in which day of the lake a row of the view's stream lies."""
    return view.created or view.timestamp


def read_stream(
    lake: Lake, view: WindowedView, system: str, table: str, days: Sequence[date] | None = None,
    *, served: bool = True,
) -> pa.Table:
    """What `view` reads of the table, in the order of days; of all days unless some are given.

    served: also the rows that have positions of the event log, from which the state counts them
    Raises NotReady where a day's table is missing, or lacks a column that the view reads.
    """
    if days is None:
        days = lake.days(system, table)
        if not days:
            raise NotReady(f"{system}/{table} is not in the lake; materialise it first")
    names = _columns_of(view)
    return pa.concat_tables([
        _day(view, lake.file(system, table, day), f"{system}/{table} of {day}", names, served)
        for day in days
    ])


def _columns_of(view: WindowedView) -> list[str]:
    """The columns that a view reads of its stream, each once."""
    columns = [*view.keys, view.timestamp, view.created, view.event_id]
    columns += [slot.column for slot in view.slots]
    return list(dict.fromkeys(name for name in columns if name))


def _day(
    view: WindowedView, path: Path, what: str, names: list[str], served: bool
) -> pa.Table:
    if not path.exists():
        raise NotReady(f"{what} is not in the lake; materialise it first")
    with naming(path):
        file = pq.ParquetFile(path)
        there = file.schema_arrow.names
        lacking = [name for name in names if name not in there]
        if lacking:
            raise NotReady(f"{what} lacks the columns {lacking}, which {view.name} reads; it has "
                           f"{there}. Materialise it again.")
        if served or LOG_SEQ not in there:
            return file.read(columns=names)
        rows = file.read(columns=[*names, LOG_SEQ])
    return rows.filter(pc.is_null(rows[LOG_SEQ])).select(names)
