"""The tables of the online store in SQLite, made where they are missing, and read by key."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

from ml_assets.core.storage.sqlite import padded, writing
from ml_assets.features.engine import state
from ml_assets.features.online_store.backend import OWN

TABLES = (
    """
    create table if not exists online_views (
        id      integer primary key autoincrement,
        project text not null,
        name    text not null,
        digest  text not null,
        unique (project, name)
    )
    """,
    """
    create table if not exists online_state (
        view     integer not null,
        entity   blob not null,     -- empty for the view's own entry; see `Backend.changes`
        at       integer,           -- of the latest version in `state`; null for windows
        created  integer,
        size     integer,           -- bytes of that version
        at0      integer,           -- of the version before it
        created0 integer,
        state    blob not null,
        seq      integer not null default 0,  -- of windows: the journal's last batch in `state`
        primary key (view, entity)
    ) without rowid
    """,
    """
    create table if not exists online_journal (
        seq    integer primary key,  -- without gaps: the last one is never deleted
        events blob not null         -- see `journal`
    )
    """,
    """
    create table if not exists online_seen (
        view   integer not null,
        entity blob not null,
        uid    integer not null,
        at     integer not null,
        primary key (view, entity, uid)
    ) without rowid
    """,
    """
    create table if not exists online_groups (
        view     integer not null,
        group_id integer not null,
        place    integer not null,    -- of the view in the group
        bound    integer not null,    -- the view needs no id of an event before this instant
        primary key (view, group_id)
    ) without rowid
    """,
    """
    create table if not exists online_together (
        group_id integer not null,
        uid      integer not null,
        at       integer not null,
        entities blob not null,       -- by place; see `journal.joined`
        primary key (group_id, uid)
    ) without rowid
    """,
)

# `||` makes text of two blobs, so it is cast back.
APPEND = """
insert into online_state (view, entity, state) values (?1, ?2, ?3)
on conflict (view, entity) do update set state = cast(state || ?4 as blob)
"""

# ?7 is now; `versions.merged` does what concerns versions ahead of it.
PUT = """
insert into online_state (view, entity, at, created, size, state)
values (?1, ?2, ?3, ?4, ?5, ?6)
on conflict (view, entity) do update set
    state = cast(case
        when max(at, excluded.at) > ?7 then merged_versions(state, excluded.state, ?7)
        when excluded.at > at then excluded.state || substr(state, 1, size)
        when excluded.at = at then excluded.state || substr(state, size + 1)
        else substr(state, 1, size) || excluded.state
    end as blob),
    at0 = case
        when excluded.at > at then at
        when excluded.at < at
            and (at0 is null or (excluded.at, excluded.created) >= (at0, created0))
        then excluded.at
        else at0
    end,
    created0 = case
        when excluded.at > at then created
        when excluded.at < at
            and (at0 is null or (excluded.at, excluded.created) >= (at0, created0))
        then excluded.created
        else created0
    end,
    size = iif((excluded.at, excluded.created) >= (at, created), excluded.size, size),
    created = iif((excluded.at, excluded.created) >= (at, created), excluded.created, created),
    at = max(at, excluded.at)
where at > ?7 or (excluded.at, excluded.created) >= (at, created)
    or excluded.at < at and (at0 is null or (excluded.at, excluded.created) >= (at0, created0))
"""

NAMES = frozenset(table.split("(")[0].split()[-1] for table in TABLES)


def make_tables(connection: sqlite3.Connection) -> None:
    """Make what is missing of `TABLES`, in the transaction that is open or in one of its own."""
    if _is_whole(connection):
        return
    # So that processes which open a new file at once queue up.
    with nullcontext() if connection.in_transaction else writing(connection):
        for table in TABLES:
            # Not executescript, which would commit.
            connection.execute(table)
        if "seq" not in _columns(connection):  # a table of before there was a journal
            connection.execute("alter table online_state add column seq integer not null default 0")


def _is_whole(connection: sqlite3.Connection) -> bool:
    there = {name for (name,) in connection.execute("select name from sqlite_master")}
    return there >= NAMES and "seq" in _columns(connection)


def _columns(connection: sqlite3.Connection) -> set[str]:
    return {name for _, name, *_ in connection.execute("pragma table_info(online_state)")}


Key = tuple[int, bytes]
"""A view's number and an entity."""

GROWTH = f"length(state), substr(state, 1, {state.HEADER_SIZE})"
"""Columns: what `engine.state.grown` asks about a blob."""
_KEYS_AT_ONCE = 512


def stored(
    connection: sqlite3.Connection, columns: str, keys: Sequence[Key]
) -> list[tuple[Any, ...]]:
    """What `online_state` has of each key, in their order; nulls where it has nothing."""
    found: list[tuple[Any, ...]] = []
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        some = keys[start : start + _KEYS_AT_ONCE]
        size = padded(len(some))
        wanted = [part for key in some for part in key] + [None, None] * (size - len(some))
        found += connection.execute(_select(columns, size), wanted).fetchall()[: len(some)]
    return found


def own_entry(connection: sqlite3.Connection, view_id: int) -> bytes | None:
    """The view's own entry, see `backend.OWN`."""
    own: bytes | None
    [(own,)] = stored(connection, "state", [(view_id, OWN)])
    return own


def replace_blob(
    connection: sqlite3.Connection, view_id: int, entity: bytes, blob: bytes
) -> None:
    """Put `blob` in place of the one that the entity has."""
    connection.execute(
        "update online_state set state = ? where view = ? and entity = ?",
        (blob, view_id, entity),
    )


@lru_cache(maxsize=64)
def _select(columns: str, count: int) -> str:
    """One row for each of `count` (view, entity) parameters, in their order.

    SQLite never reorders an outer join, so rows come in the order of the values.
    """
    values = ", ".join(["(?, ?)"] * count)
    return (
        f"with asked (view, entity) as (values {values}) select {columns} from asked"
        " left join online_state using (view, entity)"
    )
