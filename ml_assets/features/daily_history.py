"""The daily snapshot of every entity: what its windows held at the end of the day.

A pure function of events and labels. The rows are sparse: an entity has one only where a
value differs from the day before, also when a window empties, so the latest row at or before
an instant is always the true one and needs no time to live.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta

import duckdb
import pyarrow as pa

from ml_assets.features.manifest import Aggregate
from ml_assets.ingest.lake import INSTANT


def history_schema(key: str, aggregates: Sequence[Aggregate]) -> pa.Schema:
    """The columns of `<key>_history`: the instant, the entity's key, one float32 a feature."""
    return pa.schema(
        [("event_timestamp", INSTANT), (key, pa.string())]
        + [(aggregate.name, pa.float32()) for aggregate in aggregates]
    )


def changes(
    events: pa.Table,
    labels: pa.Table,
    *,
    key: str,
    aggregates: Sequence[Aggregate],
    instants: Sequence[datetime],
    since: datetime | None,
    db: duckdb.DuckDBPyConnection | None = None,
) -> pa.Table:
    """The entities whose values changed, at each of the rising `instants`.

    events: event_id, event_timestamp, known_from (when the system had it), `key`
    labels: event_id, known_at, label; the latest word known on an event counts
    since:  the instant before the first; None where nothing was recorded before
    db:     a connection to compute in, where one is open (opening one takes half the time)

    An event counts at t where its timestamp lies in `[t - window, t)` and it was known at t;
    a label where its `known_at` does. An empty key has no rows. Returns `history_schema`,
    ordered by instant and key; the order of the inputs does not matter.
    """
    steps = [since, *instants]
    if sorted(instants) != list(instants) or (since is not None and since >= instants[0]):
        raise ValueError(f"instants must rise from {since}; found {instants}")
    names = [aggregate.name for aggregate in aggregates]
    rest = ", ".join(f'{_at_rest(aggregate)} as "{aggregate.name}"' for aggregate in aggregates)
    chosen = ", ".join(f'coalesce(now."{name}", rest."{name}") as "{name}"' for name in names)
    differs = " or ".join(
        f'coalesce(now."{name}", rest."{name}") <> coalesce(was."{name}", rest."{name}")'
        for name in names
    )
    query = f"""
    with {_states(key, aggregates)},
    rest as (select {rest}),
    step(t, earlier) as (select unnest($instants), unnest($earlier)),
    now as (select * from states where t in (select t from step)),
    was as (select step.t, states.* exclude (t) from states join step on states.t = earlier)
    select t, entity, {chosen} from now full join was using (t, entity) cross join rest
    where {differs} order by t, entity
    """
    return _run(query, events, labels, key, aggregates, {
        "steps": [_us(step) for step in steps if step is not None],
        "instants": [_us(step) for step in instants],
        "earlier": [None if step is None else _us(step) for step in steps[:-1]],
    }, db)


def values_at(
    events: pa.Table,
    labels: pa.Table,
    *,
    key: str,
    aggregates: Sequence[Aggregate],
    instants: Sequence[datetime],
    db: duckdb.DuckDBPyConnection | None = None,
) -> pa.Table:
    """All entities that have anything in a window, at each instant. As `changes`, not sparse."""
    query = f"with {_states(key, aggregates)} select * from states order by t, entity"
    return _run(query, events, labels, key, aggregates, {"steps": [_us(at) for at in instants]}, db)


def at_rest(aggregate: Aggregate) -> float:
    """The value of an entity that has nothing in its windows."""
    if aggregate.kind != "rate":
        return 0.0
    return aggregate.prior * aggregate.weight / aggregate.weight


def _states(key: str, aggregates: Sequence[Aggregate]) -> str:
    """SQL: `states(t, entity, <features>)` of the instants $steps."""
    columns = ", ".join(f'{_value(aggregate)} as "{aggregate.name}"' for aggregate in aggregates)
    return f"""
    steps as (select unnest($steps) as t),
    seen as (
        select event_id, event_timestamp as ts, known_from, "{key}" as entity from events
        where "{key}" <> ''
        qualify row_number() over (
            partition by event_id order by known_from, event_timestamp, "{key}") = 1
    ),
    words as (
        select event_id, known_at, label, lead(known_at) over (
            partition by event_id order by known_at, label) as superseded_at
        from labels
    ),
    happened as (
        select entity, t, t - ts as age, 'events' as what, false as label
        from seen join steps on ts < t and known_from <= t
        where t - ts <= {_longest(aggregates, "events")}
        union all
        select entity, t, t - known_at, 'labels', label
        from words join seen using (event_id)
        join steps on known_at < t and known_from <= t
        where t - known_at <= {_longest(aggregates, "labels")}
          and (superseded_at is null or superseded_at >= t)
    ),
    states as (select t, entity, {columns} from happened group by t, entity)"""


def _value(aggregate: Aggregate) -> str:
    within = f"what = '{aggregate.over}' and age <= {_length(aggregate.window)}"
    count = f"count(*) filter ({within})"
    positives = f"count(*) filter ({within} and label)"
    if aggregate.kind == "count":
        return f"({count})::float"
    if aggregate.kind == "positives":
        return f"({positives})::float"
    prior = aggregate.prior * aggregate.weight
    return f"(({positives} + {prior!r}::double) / ({count} + {aggregate.weight!r}::double))::float"


def _at_rest(aggregate: Aggregate) -> str:
    return f"{at_rest(aggregate)!r}::double::float"


def _longest(aggregates: Sequence[Aggregate], over: str) -> int:
    """Microseconds; -1 where no aggregate looks at these."""
    return max((_length(each.window) for each in aggregates if each.over == over), default=-1)


def _length(window: timedelta) -> int:
    return window // timedelta(microseconds=1)


def _us(instant: datetime) -> int:
    return pa.scalar(instant, INSTANT).cast(pa.int64()).as_py()  # type: ignore[no-any-return]


def _run(
    query: str, events: pa.Table, labels: pa.Table, key: str, aggregates: Sequence[Aggregate],
    parameters: dict[str, object], db: duckdb.DuckDBPyConnection | None,
) -> pa.Table:
    """Instants enter and leave as microseconds, so that no session's time zone matters."""
    with duckdb.connect() if db is None else nullcontext(db) as engine:
        engine.register("events", _plain(events))
        engine.register("labels", _plain(labels))
        found = engine.sql(query, params=parameters).to_arrow_table()
    schema = history_schema(key, aggregates)
    columns = [found.column("t").cast(INSTANT), found.column("entity")]
    columns += [found.column(aggregate.name) for aggregate in aggregates]
    return pa.table(columns, schema=schema)


def _plain(rows: pa.Table) -> pa.Table:
    """Every instant as microseconds since 1970."""
    return pa.table({
        field.name: column.cast(INSTANT).cast(pa.int64())
        if pa.types.is_timestamp(field.type) else column
        for field, column in zip(rows.schema, rows.columns, strict=True)
    })
