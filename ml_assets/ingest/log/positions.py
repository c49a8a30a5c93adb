"""The log's positions: one sequence for all that the online state counts.

Every prediction and every event that was told has a position, and so has every portion of the lake
that is loaded into a view. The online state follows the log in this order and notes how far it has
got; whoever reads it notes that position, so what was read is known exactly, whoever else was
writing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ml_assets.core.storage.database import Database, rows_of

SCHEMA = """
create table if not exists loads (
    seq        integer primary key,  -- its position
    view       text not null,
    definition text not null,        -- of the view: one that has changed is loaded afresh
    since      integer not null,     -- rows filed in [since, until), microseconds since 1970, UTC
    until      integer not null,
    counts     blob                  -- its rows, packed, until the view has counted them
);
create table if not exists view_lists (
    list_id blob primary key,        -- what `counts` of predictions begins with
    views   text not null            -- for which views, and how, it is packed
) without rowid;
create table if not exists log_identity (id blob not null);
insert into log_identity select randomblob(8) where not exists (select 1 from log_identity);
"""
INDEX = ("create unique index if not exists predictions_by_seq on predictions (seq)"
         " where seq is not null")
VIEW_LIST = "insert into view_lists values (?, ?) on conflict do nothing"
UNCOUNTED = ("create index if not exists loads_uncounted on loads (view, seq)"
             " where counts is not null")
"""There are few at a time, of however many loads."""
BEFORE = """
insert or ignore into loads (seq, view, definition, since, until)
select 0, '', '', -9223372036854775808, max(accepted_at) + 1 from predictions having count(*) > 0
union all select 1, '', '', 0, 0 where exists (select 1 from predictions)
"""
"""For a log of before there were positions: what its views had counted then is at position 0, and
that it is counted shows at position 1."""
LAST = """
select coalesce(max(last), 0) from (
    select max(seq) as last from predictions where seq is not null
    union all select max(seq) from told union all select max(seq) from loads) as taken
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


class PackedCounts(NamedTuple):
    """What the online state counts of some events: a blob for each, which begins with `list_id`,
    packed for `views`.
    """

    list_id: bytes
    views: str
    packed: Sequence[bytes]


class Position(NamedTuple):
    """A prediction as the online state follows it. Instants in microseconds since 1970 UTC.

    decision: see `served.stored_label`
    counts: what it counts, packed; None if it was logged when nobody knew the views
    """

    seq: int
    event_id: str
    event_timestamp: int
    accepted_at: int
    score: float
    decision: int | str
    model_version: int
    counts: bytes | None


class ToldPosition(NamedTuple):
    """An event that was told, as the online state follows it. Fields as of `Position`."""

    seq: int
    stream: str
    event_id: str
    event_timestamp: int
    accepted_at: int
    request: str
    counts: bytes | None


class LoadEntry(NamedTuple):
    """A load as the online state follows it; see `Load`."""

    seq: int
    view: str
    definition: str
    since: int
    until: int
    counts: bytes | None


def identity_of(connection: Database) -> bytes:
    """What tells this log from any other."""
    found: bytes = connection.execute("select id from log_identity").fetchone()[0]
    return found


def views_of(connection: Database, list_id: bytes) -> str:
    """The views of a list that `add_views` has stored."""
    return str(connection.execute(
        "select views from view_lists where list_id = ?", (list_id,)).fetchone()[0])


def knows_view(connection: Database, view: str, definition: str) -> bool:
    """Whether a view that is defined so was ever loaded or fed."""
    (known,) = connection.execute(
        "select exists (select 1 from loads where seq = 0 or (view = ? and definition = ?))"
        " or exists (select 1 from view_lists where replace(views, ?, '') <> views)",
        (view, definition, f'["{view}", "{definition}", '),
    ).fetchone()
    return bool(known)


# Appending nothing keeps a planner from an index of systems, by which it would read all that one
# has logged.


def positions_of(
    connection: Database, system: str, after: int, until: int, most: int
) -> list[Position]:
    """The first predictions of a system whose positions lie in `(after, until]`, in order."""
    return [Position(*row) for row in connection.execute(
        "select seq, event_id, event_timestamp, accepted_at, score, decision, model_version,"
        " counts from predictions where seq > ? and seq <= ? and system || '' = ?"
        " order by seq limit ?",
        (after, until, system, most),
    )]


def told_of(
    connection: Database, system: str, after: int, until: int, most: int
) -> list[ToldPosition]:
    """The first events told to a system whose positions lie in `(after, until]`, in order."""
    return [ToldPosition(*row) for row in connection.execute(
        "select seq, stream, event_id, event_timestamp, accepted_at, request, counts from told"
        " where seq > ? and seq <= ? and system || '' = ? order by seq limit ?",
        (after, until, system, most),
    )]


def request_at(connection: Database, seq: int) -> str:
    """What was asked in the prediction at this position."""
    return str(connection.execute(
        "select request from predictions where seq = ?", (seq,)).fetchone()[0])


def counts_any(connection: Database, system: str, stream: str | None = None) -> bool:
    """Whether the log has a prediction of the system, or an event told to a stream of it."""
    where, arguments = ("predictions where system = ?", [system]) if stream is None else (
        "told where system = ? and stream = ?", [system, stream])
    return bool(connection.execute(
        f"select exists (select 1 from {where})", arguments).fetchone()[0])


def counted_ids(
    connection: Database, ids: Sequence[str],
    table: Literal["predictions", "told"] = "predictions", *, before: int | None = None,
) -> set[str]:
    """Those that are logged at a position: ids of predictions, or `told.told_id`.

    before: only at an earlier position than this one
    """
    key = "prediction_id" if table == "predictions" else "told_id"
    placed = "seq is not null" if before is None else f"seq < {before}"
    query = f"select {key} from {table} where {placed} and {key}"
    return {str(each) for (each,) in rows_of(connection, query, ids)}


def last_position(connection: Database) -> int:
    """The last position that is taken; 0 before the first. Three looks at an index."""
    return int(connection.execute(LAST).fetchone()[0])


def note_load(
    connection: Database, view: str, definition: str, since: int, until: int,
    counts: bytes | None = None,
) -> int:
    """Give this load the next position, in the open transaction; returns it.

    counts: its rows, packed; without them they are read from the lake
    """
    seq = last_position(connection) + 1
    connection.execute("insert into loads values (?, ?, ?, ?, ?, ?)",
                       (seq, view, definition, since, until, counts))
    return seq


def forget_counts(connection: Database, view: str, upto: int) -> None:
    """The view has counted its loads up to this position: their rows are in the lake anyway."""
    connection.execute("update loads set counts = null"
                       " where view = ? and seq <= ? and counts is not null", (view, upto))


def first_load(connection: Database, after: int, until: int) -> LoadEntry | None:
    """The first load of any view at a position in `(after, until]`."""
    row = connection.execute(
        "select seq, view, definition, since, until, counts from loads"
        " where seq > ? and seq <= ? order by seq limit 1", (after, until)).fetchone()
    return None if row is None else LoadEntry(*row)


def loads_of(connection: Database, view: str, definition: str) -> list[Load]:
    """What was loaded into a view that is defined so, in the order of positions."""
    return [Load(seq=seq, since=since, until=until) for seq, since, until in connection.execute(
        "select seq, since, until from loads where seq = 0 or (view = ? and definition = ?)"
        " order by seq", (view, definition),
    )]
