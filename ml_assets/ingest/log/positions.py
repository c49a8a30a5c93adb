"""The log's positions: one sequence for all that the state of windowed views counts.

A prediction whose event is counted has a position, and so have each event that was told and every
portion of the lake that is loaded into a view. Whoever reads the state notes the last position
that is in it; what was read is then known exactly, whoever else was writing.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

SCHEMA = """
create table if not exists loads (
    seq        integer primary key,  -- its position
    view       text not null,
    definition text not null,        -- of the view: one that has changed is loaded afresh
    since      integer not null,     -- rows filed in [since, until), microseconds since 1970, UTC
    until      integer not null
);
"""
INDEX = ("create unique index if not exists predictions_by_seq on predictions (seq)"
         " where seq is not null")
BEFORE = """
insert or ignore into loads
select 0, '', '', -9223372036854775808, max(accepted_at) + 1 from predictions having count(*) > 0
"""
"""For a log of before there were positions: what its views had counted then is at position 0."""
_LAST = """
select max(coalesce((select max(seq) from predictions where seq is not null), 0),
           coalesce((select max(seq) from told), 0),
           coalesce((select max(seq) from loads), 0))
"""


@dataclass(frozen=True, kw_only=True)
class Load:
    """Rows of a view's table that were counted at the position `seq`.

    since, until: which ones, by the instant that decides their day in the lake: `[since, until)`
        in microseconds since 1970 UTC
    """

    seq: int
    since: int
    until: int


def has_positions(connection: sqlite3.Connection) -> bool:
    """Whether this file is an event log that counts positions."""
    return connection.execute(
        "select 1 from sqlite_master where type = 'table' and name = 'loads'"
    ).fetchone() is not None


def last_position(connection: sqlite3.Connection) -> int:
    """The last position that is taken; 0 before the first. Three looks at an index."""
    return int(connection.execute(_LAST).fetchone()[0])


def note_load(
    connection: sqlite3.Connection, view: str, definition: str, since: int, until: int
) -> None:
    """Give this load the next position, in the open transaction, which is to count its rows."""
    connection.execute("insert into loads values (?, ?, ?, ?, ?)",
                       (last_position(connection) + 1, view, definition, since, until))


def loads_of(connection: sqlite3.Connection, view: str, definition: str) -> list[Load]:
    """What was loaded into a view that is defined so, in the order of positions."""
    return [Load(seq=seq, since=since, until=until) for seq, since, until in connection.execute(
        "select seq, since, until from loads where seq = 0 or (view = ? and definition = ?)"
        " order by seq", (view, definition),
    )]
