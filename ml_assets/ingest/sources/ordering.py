"""Rows in order of time, with their outcomes, whatever their number: DuckDB sorts them.

What does not fit into its share of memory goes to a temporary folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ml_assets.core.declaration import closest
from ml_assets.core.errors import DeclarationError, FetchError
from ml_assets.core.texts import shown
from ml_assets.core.time import EARLIEST
from ml_assets.ingest.sources.cells import EPOCH, SourceClock, WithoutZone, text_of
from ml_assets.ingest.sources.origins import BATCH, ORIGIN, PROBLEM

if TYPE_CHECKING:
    import pyarrow as pa

MEMORY = "1GB"
SORT = "sort"
"""The column of what `Ordering.ordered` gives by which it is sorted."""
ZONES = "'UTC' or 'Europe/Berlin'"


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderedRow:
    """One row. cells: its declared columns; at, known_at: aware UTC, None if unusable or missing;
    problem: why it cannot be used, None if nothing is known against it.
    """

    origin: str
    key: str | None
    at: datetime | None
    cells: Sequence[object]
    label: object
    known_at: datetime | None
    problem: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderedColumns:
    """Some rows, see `OrderedRow`. cells, label: as the source has them; key, label: None if no
    row has one."""

    origin: list[str]
    key: list[str | None] | None
    at: list[datetime | None]
    cells: list[pa.Array]
    label: pa.Array | None
    known_at: list[datetime | None]
    problem: list[str | None]


@dataclass(frozen=True, kw_only=True)
class Ordering:
    """How rows are put in order. See `EventRows` for its fields."""

    timestamp: str
    carried: tuple[str, ...]
    clock: SourceClock
    key: str | None = None
    label: str | None = None
    known_at: str | None = None

    @contextmanager
    def ordered(
        self, events: Iterable[pa.RecordBatch], outcomes: Iterable[pa.RecordBatch] | None = None
    ) -> Iterator[pa.RecordBatchReader]:
        """The rows in order, some at a time, as `read` takes them."""
        import duckdb

        apart = outcomes is not None
        wanted = {f"c{place}": name for place, name in enumerate(self.carried)}
        if self.key is not None:
            wanted["key"] = self.key
        told = {} if self.label is None else {"label": self.label}
        with (TemporaryDirectory(prefix="ml_assets-") as spill,
              duckdb.connect(":memory:", config={
                  "memory_limit": MEMORY, "temp_directory": spill}) as connection):
            connection.execute("set timezone = 'UTC'")
            connection.register("events", self._reader(
                events, wanted | ({} if apart else told),
                {"at": self.timestamp} | ({} if apart else self._known)))
            if outcomes is not None:
                connection.register("outcomes", self._reader(
                    outcomes, told | {"key": str(self.key)}, self._known))
            ordered = connection.sql(_query(apart, self.known_at is not None))
            yield ordered.to_arrow_reader(BATCH)

    @property
    def _known(self) -> dict[str, str]:
        return {} if self.known_at is None else {"known": self.known_at}

    def _reader(
        self, batches: Iterable[pa.RecordBatch], cells: Mapping[str, str],
        instants: Mapping[str, str],
    ) -> pa.RecordBatchReader:
        """The columns wanted, under names of ours, with where each row was and its place."""
        import pyarrow as pa

        stream = iter(batches)
        first = next(stream, None)
        if first is None:
            first = pa.RecordBatch.from_pydict({
                name: pa.array([], pa.string()) for name in (*cells.values(), *instants.values())})
        there = [name for name in first.schema.names if name not in (ORIGIN, PROBLEM)]
        for name in (*cells.values(), *instants.values()):
            if name not in there:
                raise FetchError(f"there is no column {name!r}; there are {', '.join(there)}."
                                 f"{closest(name, there)}")
        placed = self._placed(chain([first], stream), cells, instants)
        head = next(placed)
        return pa.RecordBatchReader.from_batches(head.schema, chain([head], placed))

    def _placed(
        self, batches: Iterable[pa.RecordBatch], cells: Mapping[str, str],
        instants: Mapping[str, str],
    ) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        instant = pa.timestamp("us", "UTC")
        place, since = 0, EARLIEST
        for batch in batches:
            count = batch.num_rows
            origins = (batch[ORIGIN].to_pylist() if ORIGIN in batch.schema.names
                       else [f"row:{place + each + 1}" for each in range(count)])
            problems = (batch[PROBLEM].to_pylist() if PROBLEM in batch.schema.names
                        else [None] * count)
            columns: dict[str, Any] = {ours: batch[name] for ours, name in cells.items()}
            for ours, name in instants.items():
                if _are_instants(batch[name]):
                    columns[ours] = found = batch[name].cast(instant)
                    if ours == "at":
                        columns[SORT] = found
                        since = found[-1].as_py() if count else since
                    continue
                found = [self._instant(name, cell, origins, problems, index)
                         for index, cell in enumerate(batch[name].to_pylist())]
                columns[ours] = pa.array(found, instant)
                if ours == "at":
                    # One without an instant stays behind the row before it.
                    columns[SORT] = pa.array(
                        [since := since if at is None else at for at in found], instant)
            if "key" in columns:
                columns["key"] = self._named(columns["key"], problems)
            columns |= {"origin": pa.array(origins, pa.string()),
                        "problem": pa.array(problems, pa.string()),
                        "place": pa.array(range(place, place + count), pa.int64())}
            place += count
            yield pa.RecordBatch.from_pydict(columns)

    def _instant(
        self, name: str, cell: object, origins: Sequence[str], problems: list[str | None],
        index: int,
    ) -> datetime | None:
        """Notes a problem if there is one: an event must have an instant, an outcome may."""
        if problems[index] is not None or (cell is None and name != self.timestamp):
            return None
        try:
            return self.clock.instant(cell)
        except WithoutZone:
            raise DeclarationError(
                f"{origins[index]}: {name} is {shown(cell)}, which names no time zone. Declare "
                f"where these clocks stood: zone={ZONES}") from None
        except (ValueError, OverflowError):
            problems[index] = f"{name} is {shown(cell)}; expected an instant"
            return None

    def _named(self, keys: pa.Array, problems: list[str | None]) -> pa.Array:
        """Keys as texts, so that two files agree on them whatever their types; notes problems."""
        import pyarrow as pa

        if not pa.types.is_string(keys.type):
            found = list[str | None]()
            for index, cell in enumerate(keys.to_pylist()):
                try:
                    found.append(None if cell is None or cell != cell else text_of(cell))
                except ValueError:
                    found.append(None)
                    problems[index] = problems[index] or (
                        f"{self.key} is {shown(cell)}; expected a text or a number")
            keys = pa.array(found, pa.string())
        return keys

    def read(self, batches: Iterable[pa.RecordBatch]) -> Iterator[OrderedRow]:
        """The rows of what `ordered` gives."""
        for rows in self.columns(batches):
            none = [None] * len(rows.at)
            columns = [cells.to_pylist() for cells in rows.cells]
            label = none if rows.label is None else rows.label.to_pylist()
            for origin, key, at, known_at, said, problem, *cells in zip(
                rows.origin, rows.key or none, rows.at, rows.known_at, label, rows.problem,
                *columns, strict=True,
            ):
                yield OrderedRow(origin=origin, key=key, at=at, cells=cells, label=said,
                                 known_at=known_at, problem=problem)

    def columns(self, batches: Iterable[pa.RecordBatch]) -> Iterator[OrderedColumns]:
        """The same column by column."""
        for batch in batches:
            there, none = batch.schema.names, list[datetime | None]([None] * batch.num_rows)
            yield OrderedColumns(
                origin=batch["origin"].to_pylist(),
                key=batch["key"].to_pylist() if "key" in there else None,
                at=_instants(batch["at"]),
                cells=[batch[f"c{place}"] for place in range(len(self.carried))],
                label=batch["label"] if "label" in there else None,
                known_at=_instants(batch["known"]) if "known" in there else none,
                problem=batch["problem"].to_pylist(),
            )


def between(
    batches: Iterator[pa.RecordBatch] | pa.RecordBatchReader, since: datetime | None,
    until: datetime | None,
) -> Iterator[pa.RecordBatch]:
    """Of rows in order those that are sorted in `[since, until)`; None for no bound."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for batch in batches:
        sort = batch[SORT]
        first, last = (
            none if at is None else pc.sum(pc.less(sort, pa.scalar(at, sort.type))).as_py() or 0
            for at, none in ((since, 0), (until, len(sort))))
        if first < last:
            yield batch.slice(first, last - first)
        if last < len(sort):
            return


def _are_instants(column: pa.Array) -> bool:
    """Whether each value is one that says its zone, in a unit of which nothing is cut."""
    import pyarrow as pa

    return (pa.types.is_timestamp(column.type) and column.type.tz is not None
            and column.type.unit != "ns" and column.null_count == 0)


def _instants(column: pa.Array) -> list[datetime | None]:
    """Ten times as fast as `to_pylist`, which looks the time zone up for each."""
    import pyarrow as pa

    return [None if since is None else EPOCH + timedelta(microseconds=since)
            for since in column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()]


def _query(apart: bool, known: bool) -> str:
    if not apart:
        return "select * from events order by sort, place"
    at = "known" if known else "null::timestamptz"
    return f"""
        with last as (
            select * exclude (origin, problem), key as named from outcomes
            where label is not null and problem is null
        ), known as (
            select *, row_number() over (partition by named order by told desc, place desc) as rank
            from (select named, label, place, {at} as told from last)
        )
        select events.*, known.label, known.told as known from events
        left join known on events.key = known.named and known.rank = 1
        order by sort, events.place
    """
