"""The rows of a table as versions of a plain view, as loads bring them into the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from struct import Struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml_assets.core.errors import NotReady
from ml_assets.features.engine.columns import instants, key_column
from ml_assets.features.online_store.backend import Row
from ml_assets.features.online_store.counting import payloads_of
from ml_assets.features.online_store.versions import VERSION, PlainView, version_of
from ml_assets.ingest.lake import Lake, naming
from ml_assets.ingest.log.served import from_us

EVENT_TIMESTAMP, KNOWN_AT = "event_timestamp", "known_at"
AT_ONCE = 5_000
"""Rows that take one position of the log: they are applied in one transaction."""
EVER = -(2**62)
"""As `since` of a load: it began with all that there was."""
_SIZE = Struct("<I")

Versions = tuple[list[Row], int, int]
"""Rows that became known in `[since, until)`, and these two."""


def versions_in(
    lake: Lake, view: PlainView, system: str, table: str, since: int, until: int
) -> Iterator[Versions]:
    """What a table's rows of `[since, until)` (microseconds since 1970 UTC, by `known_at`) say,
    in the order in which they became known, some at a time; together they cover the stretch.

    Raises NotReady if one of the days is not in the lake.
    """
    columns = [*view.keys, EVENT_TIMESTAMP, KNOWN_AT, *(each.name for each in view.columns)]
    begin = since
    for day in _days(lake, system, table, since, until):
        path = lake.file(system, table, day)
        with naming(path):
            rows = pq.ParquetFile(path).read(columns=columns).sort_by(KNOWN_AT)
        known = instants(rows[KNOWN_AT], KNOWN_AT, f"feature view {view.name!r}")
        start, stop = np.searchsorted(known, [since, until])
        while start < stop:
            # All rows of an instant together: a position is known by the instants it covers.
            last = known[min(start + AT_ONCE, stop) - 1]
            end = int(np.searchsorted(known, last, side="right"))
            yield _rows(view, rows.slice(start, end - start)), begin, int(last) + 1
            begin, start = int(last) + 1, end
    if begin < until:
        yield [], begin, until


def _days(lake: Lake, system: str, table: str, since: int, until: int) -> list[date]:
    there = lake.days(system, table)
    last = from_us(until - 1).date()
    if not there:
        raise NotReady(f"{system}/{table} of {last} is not in the lake; materialise it first")
    # What was known before the first day lies under that day.
    last = max(last, there[0])
    first = there[0] if since <= EVER else max(from_us(since).date(), there[0])
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    for day in days:
        if day not in there:
            raise NotReady(f"{system}/{table} of {day} is not in the lake; the online store is "
                           "loaded in the order of days, so materialise it first")
    return days


def _rows(view: PlainView, table: pa.Table) -> list[Row]:
    owner = f"feature view {view.name!r}"
    at, known = (instants(table[name], name, owner) for name in (EVENT_TIMESTAMP, KNOWN_AT))
    keys = key_column(table, view.keys, owner)
    return [(key, happened, since, payload) for key, happened, since, payload in zip(
        keys, at.tolist(), known.tolist(), payloads_of(view, table), strict=True,
    ) if key is not None]


def pack_versions(rows: Sequence[Row]) -> bytes:
    """Rows of one plain view, of a load, as one blob."""
    return b"".join([part for entity, at, known, payload in rows for part in (
        _SIZE.pack(len(entity)), entity, version_of(at, known, payload))])


def unpack_versions(blob: bytes) -> list[Row]:
    """The inverse of `pack_versions`."""
    rows: list[Row] = []
    place = 0
    while place < len(blob):
        end = place + 4 + _SIZE.unpack_from(blob, place)[0]
        at, known, size = VERSION.unpack_from(blob, end)
        start = end + VERSION.size
        rows.append((blob[place + 4 : end], at, known, blob[start : start + size]))
        place = start + size
    return rows
