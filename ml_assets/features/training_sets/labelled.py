"""Events whose labels are known, of which a training set is made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml_assets.core.storage.sql import file_of, name_of
from ml_assets.core.system import System
from ml_assets.core.time import DAY, EARLIEST
from ml_assets.features.history.pieces import of_size
from ml_assets.features.history.relations.duck import Connection, micros, row_of
from ml_assets.ingest.lake import INSTANT, Lake
from ml_assets.ingest.tables import events_schema, known_schema

AT_ONCE = 2**17
"""Rows of the lake that are taken over together."""


def write_labelled(
    con: Connection, lake: Lake, system: System, as_of: datetime, file: Path, *,
    share: float = 1.0,
) -> int:
    """Write the events with labels that were known before `as_of`; returns how many labels lack
    an event.

    con: an empty database, which keeps what does not fit on the disk
    file: takes them in the order of time: `labelled_columns`
    share: of all events, those that are `drawn`

    An event and a label speak of the same if their ids are equal, to the last code point, and
    where they came from (see `ingest.identity`).
    """
    history = system.model.history
    since = None if history is None else max(as_of - history, EARLIEST)
    known, live = _instant(as_of), _instant(system.calendar.live_from)
    labels = _portions(lake, system, "labels", known_schema(system), since, as_of, share)
    # Two words of the same instant: the order of files must not decide.
    _insert(con, "told", labels, f"""
        select event_id, basis = 'archive' as archived, known_at, label from portion
        where known_at < {known}""")
    con.execute("""
        create table labels as select *, row_number() over () as number from (
            select event_id, archived, max(row(known_at, label)) as said from told group by all);
        drop table told""")
    events = _portions(lake, system, "events", events_schema(system), since, as_of, share)
    # An event that arrives later must not change what is rebuilt.
    _insert(con, "labelled", events, f"""
        select p.*, l.said[1] as known_at, l.said[2] as label, l.number
        from portion as p join labels as l
        on p.event_id = l.event_id and (p.accepted_at < {live}) = l.archived
        where p.accepted_at < {known}""")
    rows, different, labels_known = row_of(con, """
        select count(*), count(distinct number), (select count(*) from labels) from labelled""")
    if rows > different:  # of an event that is there twice the first counts
        con.execute("""delete from labelled where place not in (
            select min(place) from labelled group by number)""")
    # Complaints arrive before silence speaks: of the latest events only the mistakes would
    # be known. So an event counts once its whole maturity window has passed.
    mature = _instant(as_of - system.truth.maturity)
    columns = ", ".join(map(name_of, labelled_schema(system).names))
    con.execute(f"""
        copy (select {columns} from labelled where event_timestamp <= {mature}
              order by event_timestamp, event_id, place)
        to {file_of(file)} (format parquet, compression lz4_raw);
        drop table labels; drop table labelled""")
    return int(labels_known - different)


def labelled_schema(system: System) -> pa.Schema:
    """event_id, event_timestamp, accepted_at, label, known_at and what the system declares."""
    event_id, happened, accepted, *columns, _position = events_schema(system)
    known = known_schema(system)
    return pa.schema([event_id, happened, accepted, known.field("label"), known.field("known_at"),
                      *columns])


def _insert(con: Connection, table: str, portions: Iterable[pa.Table], select: str) -> None:
    """Make `table` of what `select` makes of each portion."""
    for number, rows in enumerate(of_size(portions, AT_ONCE)):
        con.register("portion", rows)
        con.execute(f"insert into {table} {select}" if number else
                    f"create table {table} as {select}")
        con.unregister("portion")


def _portions(
    lake: Lake, system: System, table: str, schema: pa.Schema, since: datetime | None,
    until: datetime, share: float,
) -> Iterator[pa.Table]:
    """What a table has, up to the day of `until`, of (a share of) the events since an instant.

    With a number for each row, `place`, in the order of the lake. At least one portion.
    """
    place = 0
    yield _numbered(schema.empty_table(), place)
    for day in lake.days(system.name, table):
        if day > until.date() or (since is not None and day < (since - DAY).date()):
            continue
        for rows in lake.portions(system.name, table, schema, day, size=AT_ONCE):
            if share < 1:
                rows = rows.filter(
                    pa.array(drawn(rows["event_id"].to_pylist(), share), pa.bool_()))
            if since is not None:
                rows = rows.filter(pc.greater_equal(
                    rows["event_timestamp"], pa.scalar(since, INSTANT)))
            yield _numbered(rows, place)
            place += len(rows)


def _numbered(rows: pa.Table, first: int) -> pa.Table:
    return rows.append_column("place", pa.array(np.arange(first, first + len(rows))))


def _instant(at: datetime) -> str:
    """As SQL."""
    return f"make_timestamptz({micros(at)}::bigint)"


def drawn(event_ids: Iterable[str], share: float) -> list[bool]:
    """Which events are among a share of all: that depends on their ids alone."""
    return [lot(each) < share * 2**64 for each in event_ids]


def lot(event_id: str) -> int:
    """A number in [0, 2**64) that depends on the id alone."""
    return int.from_bytes(blake2b(event_id.encode(), digest_size=8).digest())
