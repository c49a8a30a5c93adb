"""The event log in PostgreSQL: its tables, which processes on several hosts write.

Writers take turns: each locks the one row of `log_turn` until its transaction ends, so that
positions have no gaps and become visible in their order, and counts it up, so that others see
cheaply that something was written. What was committed survives a crash of the server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ml_assets.core.errors import LogUnavailable
from ml_assets.core.storage.places import PostgresTables
from ml_assets.core.storage.postgres import PostgresDatabase, make_schema
from ml_assets.ingest.log.positions import LAST
from ml_assets.ingest.log.storage.log_storage import LogStorage
from ml_assets.ingest.log.storage.patience import Patience

TURN = "log_turn"
TEXT = 'text collate "C" not null'
"""In the order of code points, as everywhere else."""
SCHEMA = f"""
create table predictions (
    prediction_id   {TEXT} primary key,
    system          {TEXT},
    event_id        {TEXT},
    event_timestamp bigint not null,
    accepted_at     bigint not null,
    request         text not null,
    features_as_of  bigint not null,
    features        bytea not null,
    feature_names   text not null,
    model_version   integer not null,
    score           double precision not null check (score <> 'NaN'),
    decision        text not null,
    degraded        boolean not null,
    role            text not null check (role in ('champion', 'challenger')),
    propensity      double precision not null check (propensity > 0 and propensity <= 1),
    state_seq       bigint,
    seq             bigint not null unique,
    counts          bytea,
    outputs         bytea,
    audit           double precision
);
create index predictions_by_day on predictions (system, accepted_at);
create table feature_lists (list_id text primary key, names text not null);
create table told (
    told_id         {TEXT} primary key,
    system          {TEXT},
    stream          {TEXT},
    event_id        {TEXT},
    event_timestamp bigint not null,
    accepted_at     bigint not null,
    request         text not null,
    seq             bigint not null unique,
    counts          bytea
);
create index told_by_day on told (system, stream, accepted_at);
create table feedback (
    feedback_id   bigint generated always as identity primary key,
    prediction_id {TEXT} references predictions (prediction_id),
    system        {TEXT},
    label         text not null,
    source        {TEXT},
    received_at   bigint not null
);
create index feedback_by_day on feedback (system, received_at);
create index feedback_by_prediction on feedback (prediction_id, source);
create index feedback_by_source on feedback (system, source, received_at);
create table shadow_scores (
    prediction_id {TEXT} references predictions (prediction_id),
    model_version integer not null,
    score         double precision not null check (score <> 'NaN'),
    scored_at     bigint not null,
    outputs       bytea,
    primary key (prediction_id, model_version)
);
create table loads (
    seq        bigint primary key,
    view       {TEXT},
    definition text not null,
    since      bigint not null,
    until      bigint not null,
    counts     bytea
);
create index loads_uncounted on loads (view, seq) where counts is not null;
create table view_lists (list_id bytea primary key, views text not null);
create table log_identity (id bytea not null);
insert into log_identity select decode(substr(md5(gen_random_uuid()::text), 1, 16), 'hex');
create table probe (id integer primary key, at bigint not null);
create table {TURN} (n bigint not null) with (fillfactor = 10);
insert into {TURN} values (0);
create function feedback_is_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'feedback is append-only' using errcode = 'integrity_constraint_violation';
end $$;
create trigger feedback_stays before update on feedback
    for each row execute function feedback_is_append_only();
create trigger feedback_remains before delete on feedback
    for each row execute function feedback_is_append_only()
"""
"""What the columns hold is said in `log_file`, whose labels are whole numbers where they can be."""


class LogTables(LogStorage):
    """The log in a schema of a database."""

    connection: PostgresDatabase

    def __init__(self, place: PostgresTables, patience: Patience) -> None:
        """Connect, and make the tables if they are missing; other writers are waited for."""
        super().__init__(place, patience)
        self._appending: dict[tuple[str, bool], str] = {}
        try:
            self.connection = PostgresDatabase(place, TURN)
            make_schema(place, self.connection, SCHEMA)
            self.connection.wait_ms(self._timeout_ms)
        except PostgresDatabase.Error as error:
            raise LogUnavailable(f"cannot open the event log {place}: {error}") from error

    def append(
        self, table: str, columns: str, rows: Callable[[], Sequence[Sequence[object]]]
    ) -> int | None:
        """In one round trip: who holds the turn waits for nothing but the server and its disk."""
        given = rows()
        alone = len(given) == 1
        values = given[0] if alone else [list(each) for each in zip(*given, strict=True)]
        try:
            self._set_patience()
            if (table, alone) not in self._appending:
                self._appending[table, alone] = self._appends(table, columns, alone)
            (last,) = self.connection.transact(self._appending[table, alone], values)
        except self.connection.refusals:
            return None
        except self.connection.Error as error:
            raise self._failure("write", error) from error
        self._patience.renewed()
        return int(last) + 1

    def _appends(self, table: str, columns: str, alone: bool) -> str:
        """A query that inserts rows after the last position, and returns that.

        alone: it takes the values of one row, which costs half of what arrays of one value do;
        else an array for each column
        """
        types = dict(self.connection.execute(
            "select attname::text, format_type(atttypid, atttypmod) from pg_attribute"
            " where attrelid = to_regclass(?) and attnum > 0", (table,)))
        names = columns.split(", ")
        given = ", ".join(f"?::{types[name]}{'' if alone else '[]'}" for name in names)
        added = f"(values ({given}))" if alone else f"unnest({given})"
        chosen = ", ".join("last + added.seq" if name == "seq" else f"added.{name}"
                           for name in names)
        return f"""with before as materialized (select ({LAST}) as last), stored as (
            insert into {table} ({columns}) select {chosen}
            from before, {added} as added ({columns}))
            select last from before"""
