"""The rows of a source in a stretch of time: all of them, or each entity's latest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ml_assets.core.storage.sql import name_of
from ml_assets.features.history.relations.duck import Connection, micros
from ml_assets.features.history.relations.source import FILE, ROW, Relation, Source, relation_of


def all_sql(
    con: Connection, source: Source, columns: Sequence[str], timestamp: str,
    start: datetime | None, end: datetime | None,
) -> str:
    """SQL for the rows with `start <= timestamp <= end`, in the order of the files.

    columns: none for all that the source has
    Raises NotReady where the source has no file, UnknownName for a column it lacks.
    """
    relation = relation_of(con, source)
    return (
        f"select {_selected(relation, columns)} from {relation.sql} as s "
        f"where {_within(relation, timestamp, start, end)}"
    )


def latest_sql(
    con: Connection, source: Source, keys: Sequence[str], columns: Sequence[str], timestamp: str,
    created: str, start: datetime, end: datetime,
) -> str:
    """The same, but of the rows that agree in all `keys` only the latest.

    Of equals, the one created last; of those, the one that stands last in the files.
    """
    relation = relation_of(con, source)
    order = [relation.micros(timestamp)]
    if created:
        order.append(relation.created(created))
    # Only the keys and the order are read of every row; the rest of those that are chosen.
    largest = f"max(row({', '.join([*order, FILE, ROW])}))"
    grouped = ", ".join(relation.column(key) for key in keys)
    chosen = (
        f"select {largest} as m from {relation.sql} as s "
        f"where {_within(relation, timestamp, start, end)}"
        f"{f' group by {grouped}' if keys else ' having m is not null'}"
    )
    return (
        f"select {_selected(relation, columns)} from {relation.sql} as s join ({chosen}) as c "
        f"on s.{FILE} = c.m[{len(order) + 1}] and s.{ROW} = c.m[{len(order) + 2}]"
    )


def _selected(relation: Relation, columns: Sequence[str]) -> str:
    wanted = dict.fromkeys(columns or relation.kinds)
    return ", ".join(f"{relation.column(each)} as {name_of(each)}" for each in wanted)


def _within(
    relation: Relation, timestamp: str, start: datetime | None, end: datetime | None
) -> str:
    limits = [
        relation.compared(timestamp, sign, micros(instant))
        for sign, instant in ((">=", start), ("<=", end)) if instant is not None
    ]
    return " and ".join(limits) or "true"
