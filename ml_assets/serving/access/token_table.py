"""The tokens of an installation in PostgreSQL: all hosts see them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from ml_assets.core.storage.database import Database, writing
from ml_assets.core.storage.places import PostgresTables
from ml_assets.core.storage.postgres import (
    PostgresDatabase,
    has_tables,
    make_schema,
    session,
)
from ml_assets.serving.access.token import Token

SCHEMA = """
create table tokens (
    id      text collate "C" primary key,
    made    bigint generated always as identity,
    changed bigint not null unique,   -- rises with every change of any token
    said    jsonb not null            -- all that is kept of it, with the hash of its secret
)
"""
CHANGE = """insert into tokens (id, changed, said) values (?, ?, ?)
    on conflict (id) do update set changed = excluded.changed, said = excluded.said"""


class TokenTable:
    """See `TokenStorage`. Each call uses the connection of its thread, or makes one; a change is
    one transaction."""

    def __init__(self, place: PostgresTables) -> None:
        self._place, self._made = place, False

    def read(self) -> list[Token]:
        with session(self._place) as db:
            return _all(db) if self._is_made(db) else []

    def version(self) -> object:
        """One question to the server."""
        with session(self._place) as db:
            return _latest(db) if self._is_made(db) else 0

    @contextmanager
    def changing(self) -> Iterator[list[Token]]:
        with session(self._place) as db:
            if not self._is_made(db):
                make_schema(self._place, db, SCHEMA)
            with writing(db):
                before = _all(db)
                tokens = list(before)
                yield tokens
                changed = [token for token in tokens if token not in before]
                for number, token in enumerate(changed, _latest(db) + 1):
                    db.execute(CHANGE, (token.id, number, msgspec.json.encode(token).decode()))

    def _is_made(self, db: PostgresDatabase) -> bool:
        """Whoever deletes the table afterwards gets an error, and no open door."""
        self._made = self._made or has_tables(db, self._place)
        return self._made


def _all(db: Database) -> list[Token]:
    rows = db.execute("select said::text from tokens order by made")
    return [msgspec.json.decode(said, type=Token) for (said,) in rows]


def _latest(db: Database) -> int:
    [(latest,)] = db.execute("select coalesce(max(changed), 0) from tokens")
    return int(latest)
