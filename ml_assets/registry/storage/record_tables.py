"""The rollout record in PostgreSQL: one for all hosts; the database orders their decisions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ml_assets.core.storage.database import Database
from ml_assets.core.storage.places import PostgresTables
from ml_assets.core.storage.postgres import make_schema, session

SCHEMA = """
create table deployments (
    id          bigint generated always as identity primary key,
    system      text collate "C" not null,
    version     integer not null check (version > 0),
    previous    integer,
    rollback    boolean not null,
    reason      text not null check (length(reason) > 0),
    by          text not null check (length(by) > 0),
    at          bigint not null,
    action      text not null,
    challengers text not null check (challengers::jsonb is not null),
    shadows     text not null check (shadows::jsonb is not null),
    salt        text not null,
    about       integer
);
create index deployments_by_system on deployments (system, id);
create function deployments_are_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'deployments are append-only' using errcode = 'integrity_constraint_violation';
end $$;
create trigger deployments_stay before update on deployments
    for each row execute function deployments_are_append_only();
create trigger deployments_remain before delete on deployments
    for each row execute function deployments_are_append_only()
"""
"""What the columns hold is said in `record_file`."""


class RecordTables:
    """Each call uses the connection of its thread, or makes one. Raises LogUnavailable."""

    def __init__(self, place: PostgresTables) -> None:
        self.place = place
        with session(place) as db:
            make_schema(place, db, SCHEMA)

    @contextmanager
    def open(self) -> Iterator[Database]:
        with session(self.place) as db:
            yield db
