"""What the lake knows of late: which items are taken, and who asks in which context."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple

from duckdb import DuckDBPyConnection

from ml_assets.core.slates import Own, Popular, SlatePolicy, Taken
from ml_assets.core.storage.sql import name_of
from ml_assets.core.system import System
from ml_assets.core.time import DAY

HALVINGS = 10
"""A choice counts until it is so many half-lives old, and counts a thousandth."""
SCALE = 40
"""Weights are whole multiples of 2**-SCALE, whose sum does not depend on their order."""
MEMORY = "1GB"
ROWS = 10_000
"""Read at once."""


class PopularItem(NamedTuple):
    """weight: how many choices of this moment its choices count as"""

    item: object
    weight: float


class Lately:
    """Reads the lake as it was at the end of a day, in bounded memory.

    connection: has the system's tables, see `ingest.lake_in_sql`
    end: what became known before it counts
    """

    def __init__(
        self, connection: DuckDBPyConnection, system: System, policy: SlatePolicy, end: datetime
    ) -> None:
        connection.execute(f"set memory_limit = '{MEMORY}'")
        self._connection, self._system, self._policy = connection, system, policy
        self._end = end

    def popular(self, kind: Popular, top: int) -> list[PopularItem]:
        """The `top` items with the greatest weight, the first first; of equal ones by their keys.

        A take of age t has the weight 2^(-t / half_life).
        """
        taken, values = self._taken(kind)
        rows = self._connection.execute(
            f"""select item, sum(weight)::double as weight from ({taken})
                group by item having weight > 0 order by weight desc, item::varchar limit $top""",
            {**values, "top": top},
        ).fetchall()
        return [PopularItem(item, weight / 2**SCALE) for item, weight in rows]

    def own(self, kind: Own) -> Iterator[tuple[str, list[object]]]:
        """Of each user the `top` items that he took himself, the one with the greatest weight
        first, in the order of users' keys."""
        taken, values = self._taken(kind)
        found = self._connection.cursor()
        found.execute(
            f"""select who, item from (
                    select who::varchar as who, item, sum(weight) as weight from ({taken})
                    group by all having weight > 0)
                where who <> ''
                qualify row_number() over (
                    partition by who order by weight desc, item::varchar) <= $top
                order by who, weight desc, item::varchar""",
            {**values, "top": kind.top})
        rows = (row for some in iter(lambda: found.fetchmany(ROWS), []) for row in some)
        for who, items in groupby(rows, key=lambda row: row[0]):
            yield str(who), [item for _, item in items]

    def _taken(self, kind: Taken) -> tuple[str, dict[str, object]]:
        """A query of takes: who took which item, and what that weighs, in 2**-SCALE.

        The last label of an event counts.
        """
        item, user = name_of(self._policy.item), self._policy.user
        who, span = "null" if user is None else name_of(user), kind.half_life * HALVINGS
        age = "epoch_us($end::timestamptz) - epoch_us(event_timestamp)"
        if kind.stream is None:
            rows = f"""
                select arg_max(label, known_at) as taken, arg_max({item}, known_at) as item,
                    arg_max({who}, known_at) as who, max(event_timestamp) as event_timestamp
                from {self._table('labels')}
                where day >= $since and day < $until and known_at < $end group by event_id"""
        else:
            rows = f"""
                select true as taken, {item} as item, {who} as who, event_timestamp
                from {self._table(kind.stream)}
                where day >= $since and day < $until and event_timestamp < $end"""
        return (
            f"""select who, item, pow(2, {SCALE} - ({age}) / $half)::bigint as weight from ({rows})
                where taken and item is not null and event_timestamp > $first""",
            {"end": self._end, "since": self._day_of(self._end - span), "until": self._until,
             "first": self._end - span, "half": kind.half_life / timedelta(microseconds=1)})

    def contexts(self, active: timedelta, size: int) -> Iterator[list[dict[str, Any]]]:
        """The latest event of every user who was active lately, `size` at a time, in the order of
        users' keys."""
        user = self._policy.user
        assert user is not None
        yield from self._latest(
            f"""where {name_of(user)}::varchar <> '' and event_timestamp >= $since
                qualify row_number() over (
                    partition by {name_of(user)} order by event_timestamp desc, event_id desc) = 1
                order by {name_of(user)}::varchar""",
            active, size)

    def context(self, active: timedelta) -> Mapping[str, Any] | None:
        """The latest event of all; None if there is none."""
        for [event] in self._latest("where event_timestamp >= $since"
                                    " order by event_timestamp desc, event_id desc limit 1",
                                    active, 1):
            return event
        return None

    def _latest(
        self, which: str, active: timedelta, size: int
    ) -> Iterator[list[dict[str, Any]]]:
        since = self._end - active
        found = self._connection.cursor()
        found.execute("set TimeZone = 'UTC'")
        names: Sequence[str] = [column.name for column in self._system.columns]
        found.execute(
            f"""select {', '.join(map(name_of, names))}
                from (select * from {self._table('events')}
                      where day >= $earliest and day < $until and event_timestamp < $end)
                {which}""",
            {"earliest": self._day_of(since) - DAY, "until": self._until, "end": self._end,
             "since": since})
        while rows := found.fetchmany(size):
            yield [dict(zip(names, row, strict=True)) for row in rows]

    def _table(self, table: str) -> str:
        return f"lake.{name_of(self._system.name)}.{name_of(table)}"

    @property
    def _until(self) -> date:
        return self._day_of(self._end)

    def _day_of(self, instant: datetime) -> date:
        return max(instant.date(), self._system.calendar.first_day)
