"""What the lake knows of late: which items are taken, and who asks in which context."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from duckdb import DuckDBPyConnection

from ml_assets.core.slates import Popular, SlatePolicy
from ml_assets.core.storage.sql import name_of
from ml_assets.core.system import System
from ml_assets.core.time import DAY

HALVINGS = 10
"""A choice counts until it is so many half-lives old, and counts a thousandth."""
SCALE = 40
"""Weights are whole multiples of 2**-SCALE, whose sum does not depend on their order."""
MEMORY = "1GB"


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

        A choice of age t has the weight 2^(-t / half_life). The last label of an event counts.
        """
        item, span = name_of(self._policy.item), kind.half_life * HALVINGS
        age = "epoch_us($end::timestamptz) - epoch_us(event_timestamp)"
        rows = self._connection.execute(
            f"""
            with said as (
                select event_id, arg_max(label, known_at) as taken,
                    arg_max({item}, known_at) as item, max(event_timestamp) as event_timestamp
                from {self._table('labels')}
                where day >= $since and day < $until and known_at < $end
                group by event_id
            )
            select item, sum(pow(2, {SCALE} - ({age}) / $half)::bigint)::double as weight
            from said
            where taken and item is not null and event_timestamp > $first
            group by item having weight > 0 order by weight desc, item::varchar limit $top
            """,
            {"end": self._end, "since": self._day_of(self._end - span), "until": self._until,
             "first": self._end - span, "half": kind.half_life / timedelta(microseconds=1),
             "top": top},
        ).fetchall()
        return [PopularItem(item, weight / 2**SCALE) for item, weight in rows]

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
