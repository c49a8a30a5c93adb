"""The tables of the online store in SQLite, which `SqliteState` makes where they are missing."""

from __future__ import annotations

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
        primary key (view, entity)
    ) without rowid
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
        entities blob not null,       -- by place; see `_joined`
        primary key (group_id, uid)
    ) without rowid
    """,
)
