"""Tables: whether their rows can be used, whether events find them, and whether they know more
than could be known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from ml_assets.core.data.tables import Table
from ml_assets.core.errors import MlAssetsError
from ml_assets.core.runtime.isolation import Fault
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, LATEST
from ml_assets.ingest.kept import filed_rows
from ml_assets.ingest.sources.origins import BATCH
from ml_assets.projects.check.finding import Noted, fail, ok, warn
from ml_assets.projects.check.history import AT, LABEL
from ml_assets.projects.check.rows import QUARANTINE
from ml_assets.projects.leakage import suspicion
from ml_assets.projects.survey import Survey, quoted

FOUND = 0.5
"""A table is of little use if a smaller share of events finds a row."""
HOLDS, KNOWN = "_holds", "_known"


def about_tables(system: System, settings: Settings, survey: Survey) -> Iterator[Noted]:
    """survey: of the recorded events that can be used"""
    for table in system.tables:
        rows = _TableRows(system=system, table=table)
        try:
            for number, batch in enumerate(rows.batches(settings)):
                survey.connection.register("read", pa.Table.from_batches([batch]))
                survey.connection.execute("insert into kept from read" if number else
                                          "create or replace table kept as from read")
        except MlAssetsError as error:
            yield fail(table.name, str(error), "")
            continue
        yield from _usable(rows)
        if rows.usable:
            yield from _knows_the_future(table, survey)
            yield from _found(system, table, survey)


@dataclass(kw_only=True)
class _TableRows:
    """Counts what is read; of rows that cannot be used the reasons."""

    system: System
    table: Table
    usable: int = 0
    unusable: Counter[str] = field(default_factory=Counter)
    first: str = ""

    @property
    def schema(self) -> pa.Schema:
        instant = pa.timestamp("us", "UTC")
        return pa.schema([*((column.name, pa.string()) for column in self.table.columns),
                          (HOLDS, instant), (KNOWN, instant)])

    def batches(self, settings: Settings) -> Iterator[pa.RecordBatch]:
        last = self.system.calendar.last_day
        end = LATEST.date() if last is None else last + DAY
        rows: list[dict[str, object]] = []
        for each in filed_rows(self.system, settings, self.table,
                               self.system.calendar.first_day, end):
            if isinstance(each.values, Fault):
                self.unusable[each.values.reason] += 1
                self.first = self.first or f"{each.row.origin}: {each.values.reason}"
                continue
            self.usable += 1
            rows.append({
                **{column.name: _text(each.values[column.name]) for column in self.table.columns},
                HOLDS: each.values["event_timestamp"], KNOWN: each.values["known_at"]})
            if len(rows) == BATCH:
                yield pa.RecordBatch.from_pylist(rows, self.schema)
                rows = []
        yield pa.RecordBatch.from_pylist(rows, self.schema)


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _usable(rows: _TableRows) -> Iterator[Noted]:
    bad = rows.unusable.total()
    if bad:
        note = fail if bad > QUARANTINE * (bad + rows.usable) else warn
        yield note(rows.table.name, f"{bad:,} of {bad + rows.usable:,} rows cannot be used, for "
                   f"example {rows.first}", "They are set aside, each with its reason")
    if not rows.usable:
        yield fail(rows.table.name, "it has no row that can be used", "Check its declaration")


def _knows_the_future(table: Table, survey: Survey) -> Iterator[Noted]:
    keys = ", ".join(map(quoted, table.keys))
    count, entities, latest = survey.one(
        f"select count(*), count(distinct ({keys},)), max({HOLDS}) from kept")
    first = survey.one(f"select min({quoted(AT)}::timestamptz) from rows")[0]
    yield ok(table.name, f"{count:,} rows of {entities:,} keys")
    if table.known_at is None and count == entities and latest <= first:
        yield warn(table.name, f"each key has one row, of {latest:%Y-%m-%d} at the latest, before "
                   "the first event: if they say how things are today, they know the future",
                   f"Date them by when they were so, or name known_at beside {table.timestamp!r}")
    for column in table.columns:
        if column.dtype != "instant" or column.many:
            continue
        name = quoted(column.name)
        later, there = survey.one(f"select count(*) filter (where {name}::timestamptz > {KNOWN}), "
                                  f"count({name}) from kept")
        if later:
            yield fail(table.name, f"{column.name} knows the future: {later:,} of {there:,} values "
                       "are later than their row was known", "Leave it out unless it is a plan, or "
                       "name the right known_at")


def _found(system: System, table: Table, survey: Survey) -> Iterator[Noted]:
    """Whether events find rows, and whether these know what became of them."""
    if not set(table.keys) <= {column.name for column in system.columns}:
        return  # whoever looks it up by other keys has other events
    values = [column.name for column in table.columns
              if column.name not in table.keys and not column.many]
    on = " and ".join(f"r.{quoted(key)} = k.{quoted(key)}" for key in table.keys)
    chosen = "".join(f", k.{quoted(name)}" for name in values)
    with survey.connection.cursor() as apart:
        # A schema of its own, so that its `rows` are these.
        apart.execute("drop schema if exists joined cascade")  # another table's
        apart.execute("create schema joined")
        apart.execute(
            f"create or replace table joined.rows as select r.{quoted(LABEL)}, k.{HOLDS}{chosen} "
            f"from rows as r asof left join (select *, greatest({HOLDS}, {KNOWN}) as since "
            f"from kept) as k on {on} and r.{quoted(AT)}::timestamptz >= k.since")
        apart.execute("use joined")
        joined = Survey(connection=apart, columns=tuple(values), rows=survey.rows, bad=(),
                        without_text=frozenset())
        [share] = joined.one(f"select avg(({HOLDS} is not null)::int) from rows")
        if share < FOUND:
            note = warn if share else fail
            yield note(table.name, f"{share:.0%} of the events find a row", "Are the keys written "
                       "alike, and are rows known before the events?")
        else:
            yield ok(table.name, f"{share:.0%} of the events find a row")
        for name in values:
            told = suspicion(joined, name, LABEL, quantity=system.target.lake_type == "double")
            if told is not None:
                note = fail if told.certain else warn
                yield note(table.name, f"{name} seems to know the outcome: {told}",
                           "Leave it out, or name the known_at of its rows")
