"""What a view answers for a whole spine in bounded memory: some entities after others.

The features wait in a file, in spine order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from ml_assets.features.history.lookup import ANSWERED, Asked, Lookup
from ml_assets.features.history.relations.duck import (
    Connection,
    batches_of,
    row_of,
    table_of,
)

Answering: TypeAlias = Callable[[Connection, Lookup, int], str]
"""Answers a view for the table `asked`, which has what its SQL of that name gives, in so many bytes
of memory. Returns SQL for what it has found."""


def answered_here(con: Connection, lookup: Lookup, memory: int) -> str:
    """`Answering` by this process."""
    con.execute(f"create table rows as {lookup.rows}")
    for number, found in enumerate(answers(con, lookup, memory)):
        con.register("piece", found)
        con.execute(
            "create table found as from piece" if not number else "insert into found from piece"
        )
        con.unregister("piece")
    con.execute("drop table rows")
    return "from found"


def answers(con: Connection, lookup: Lookup, memory: int) -> Iterator[pa.Table]:
    """What a view answers for a table `asked`, given the table `rows`; see `Lookup.answer`."""
    for rows, asked in _pieces(con, lookup, max(memory // 2, 1)):
        yield lookup.answer(
            table_of(con, f"select * from rows where {rows}"),
            Asked.of(table_of(con, f"select * from asked where {asked}")),
        )


def write_features(
    con: Connection, lookup: Lookup, file: Path, memory: int, answered: Answering = answered_here
) -> None:
    """Write what a view answers, in spine order; null where nothing is found.

    memory: bytes, of which numpy gets half
    """
    con.execute(f"create table asked as {lookup.asked}")
    con.execute(f"create view answered as {answered(con, lookup, memory)}")
    values = lookup.values("answered") or "select * from answered"
    reader = batches_of(
        con, f"select v.* exclude ({ANSWERED}) from asked as a "
        f"left join ({values}) as v on a.i = v.{ANSWERED} order by a.i",
    )
    with pq.ParquetWriter(file, reader.schema, compression="lz4") as writer:
        for batch in reader:
            writer.write_batch(batch)
    con.execute("drop view answered; drop table if exists found; drop table asked")


def _pieces(con: Connection, lookup: Lookup, room: int) -> Iterator[tuple[str, str]]:
    """SQL for which rows, and which questions, are looked at together: some entities' each time."""
    pieces = max(1, -(-_needed(con, lookup, "true") // room))
    for piece in range(pieces):
        # Those without an entity have a negative remainder: they are never answered.
        some = f"code % {pieces} = {piece}"
        parts = round(_needed(con, lookup, some) / room)
        if parts < 2 or lookup.reach is None:
            yield some, some
        else:
            _leave_first(con, some, lookup.arrival)
            yield from _in_time(con, some, parts, lookup.reach)


def _needed(con: Connection, lookup: Lookup, some: str) -> int:
    rows, asked = row_of(con, f"select (select count(*) from rows where {some}), "
                              f"(select count(*) from asked where {some})")
    return int(rows * lookup.row_bytes + asked * lookup.asked_bytes)


def _leave_first(con: Connection, some: str, arrival: str) -> None:
    """Delete all of an entity's rows with one id but the first: no stretch of time has them all."""
    again = f"select code, uid from rows where {some} group by code, uid having count(*) > 1"
    con.execute(
        f"delete from rows where {some} and place in (select place from rows "
        f"semi join ({again}) using (code, uid) "
        f"qualify row_number() over (partition by code, uid order by {arrival}) > 1)"
    )


def _in_time(con: Connection, some: str, parts: int, reach: int) -> Iterator[tuple[str, str]]:
    """The same for entities that are too busy: a stretch of time after the other, each with the
    rows that its questions can see. Each id must be there once.
    """
    shares = ", ".join(f"{part / parts}" for part in range(1, parts))
    (edges,) = row_of(con, f"select quantile_disc(\"at\", [{shares}]) from asked where {some}")
    starts = [-(2**62), *dict.fromkeys(edges or ()), 2**62]
    for start, end in pairwise(starts):
        asked = f"{some} and \"at\" >= {start} and \"at\" < {end}"
        first, last = row_of(con, f"select min(\"at\"), max(\"at\") from asked where {asked}")
        if first is not None:
            yield f"{some} and \"at\" between {first - reach} and {last}", asked


def read_features(file: Path, size: int) -> Iterator[pa.Table]:
    """What was written, `size` rows at a time; at least one table."""
    with pq.ParquetFile(file) as features:
        yield features.schema_arrow.empty_table()
        for batch in features.iter_batches(size):
            yield pa.Table.from_batches([batch])


def of_size(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    """The same rows in tables of just `size`, but for the last; at least one table."""
    waiting: pa.Table | None = None
    for table in tables:
        waiting = table if waiting is None else pa.concat_tables([waiting, table])
        while waiting.num_rows > size:
            yield waiting.slice(0, size)
            waiting = waiting.slice(size)
    if waiting is not None:
        yield waiting
