"""What the rows of a file hold, column by column, as a new declaration has to know it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa

from ml_assets.core.data.tables import KeptRows
from ml_assets.core.errors import FetchError
from ml_assets.core.texts import KEY_LENGTH
from ml_assets.ingest.sources.cells import NO, YES, text_of
from ml_assets.ingest.sources.origins import ORIGIN, PROBLEM

ONE_LINE = r"[^\x00-\x1f\x7f-\x9f\x{2028}\x{2029}]*"
"""`core.texts.NAME`, as DuckDB spells it."""
COMMON = 20
"""Values that are listed of a column."""


class WithoutRows(FetchError):
    """Nothing of a source can be used."""


@dataclass(frozen=True, kw_only=True)
class ColumnFacts:
    """Counts of one column. Shares are of the values that are there.

    numeric, whole, word: the shares that are numbers, whole numbers, spellings of yes and no
    name_like: whether each can name something, see `core.texts`: it is of one line, and not long
    plain: the share that are whole numbers of 64 bits written as usual: 7, but not 007 or 7.0
    least, most: of the numbers; longest, words: characters at most, words on average
    common: the most frequent values, at most COMMON
    """

    name: str
    rows: int
    missing: int
    distinct: int
    numeric: float
    whole: float
    plain: float
    word: float
    least: float | None
    most: float | None
    longest: int
    name_like: bool
    words: float
    common: tuple[str, ...]

    @property
    def there(self) -> int:
        return self.rows - self.missing


@dataclass(frozen=True, kw_only=True)
class Survey:
    """All rows, in a table `rows` of DuckDB, every value a text; `bad` rows are left out.

    without_text: the columns whose values have none: lists, structs, durations
    """

    connection: duckdb.DuckDBPyConnection
    columns: tuple[str, ...]
    without_text: frozenset[str]
    rows: int
    bad: tuple[str, ...]

    def facts(self, column: str) -> ColumnFacts:
        """Exact counts. Reads the column three times."""
        name = quoted(column)
        spellings = ", ".join(f"'{word}'" for word in sorted(YES | NO))
        numbers = self.one(f"""
            select count(*) - count({name}), count(distinct {name}),
                avg((try_cast({name} as double) is not null)::int),
                avg((try_cast({name} as double) % 1 = 0)::int),
                avg((try_cast({name} as bigint)::varchar is not distinct from {name})::int),
                avg((lower(trim({name})) in ({spellings}))::int),
                min(try_cast({name} as double)), max(try_cast({name} as double)),
                coalesce(max(length({name})), 0),
                coalesce(bool_and(regexp_full_match({name}, '{ONE_LINE}')), true),
                coalesce(avg(len(string_split_regex(trim({name}), '\\s+'))), 0)
            from rows where {name} is not null
        """)
        missing = self.one(f"select count(*) - count({name}) from rows")[0]
        common = self.all(f"""
            select {name} from rows where {name} is not null
            group by 1 order by count(*) desc, 1 limit {COMMON}
        """)
        return ColumnFacts(
            name=column, rows=self.rows, missing=missing, distinct=numbers[1],
            numeric=numbers[2] or 0.0, whole=numbers[3] or 0.0, plain=numbers[4] or 0.0,
            word=numbers[5] or 0.0, least=numbers[6], most=numbers[7], longest=numbers[8],
            name_like=numbers[9] and numbers[8] <= KEY_LENGTH, words=numbers[10],
            common=tuple(value for value, in common),
        )

    def values(self, column: str) -> list[tuple[str, str]]:
        """Where each value was, and the value; of all rows that have one."""
        return self.all(f"select {quoted(ORIGIN)}, {quoted(column)} from rows "
                        f"where {quoted(column)} is not null order by place")

    def one(self, query: str, *parameters: object) -> tuple[Any, ...]:
        return self.all(query, *parameters)[0]

    def all(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, parameters).fetchall()


@contextmanager
def surveyed(rows: KeptRows, fetched: Path) -> Iterator[Survey]:
    """The rows in a temporary database. Raises FetchError if there are none."""
    with (TemporaryDirectory(prefix="ml_assets-") as folder,
          duckdb.connect(f"{folder}/rows.duckdb", config={"memory_limit": "1GB"}) as connection):
        read = rows.batches(fetched)
        head = next(read, None)
        if head is None:
            raise FetchError(f"{fetched} has no rows")
        first, batches = as_texts(head), map(as_texts, read)
        reader = pa.RecordBatchReader.from_batches(first.schema, _chained(first, batches))
        connection.register("read", reader)
        connection.execute("create table every as select *, row_number() over () as place "
                           "from read")
        connection.execute(f"create view rows as select * from every where {PROBLEM} is null")
        bad = connection.execute(f"select {ORIGIN} || ': ' || {PROBLEM} from every "
                                 f"where {PROBLEM} is not null order by place limit 5").fetchall()
        [count] = connection.execute("select count(*) from rows").fetchone() or (0,)
        if not count:
            raise WithoutRows(f"{fetched} has no rows" + (f"; {bad[0][0]}" if bad else ""))
        yield Survey(
            connection=connection, rows=count, bad=tuple(said for said, in bad),
            columns=tuple(n for n in first.schema.names if n not in (ORIGIN, PROBLEM)),
            without_text=frozenset(each.name for each in head.schema if _has_no_text(each.type)),
        )


def as_texts(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Every value as the text that a CSV file would hold; lists as JSON."""
    import json

    def text(value: object) -> str | None:
        if value is None or value != value:
            return None
        try:
            return text_of(value)
        except ValueError:
            return json.dumps(value, default=str)

    columns = {name: batch[name] if pa.types.is_string(batch[name].type)
               else pa.array(map(text, batch[name].to_pylist()), pa.string())
               for name in batch.schema.names}
    if PROBLEM not in columns:
        columns[PROBLEM] = pa.nulls(batch.num_rows, pa.string())
    return pa.RecordBatch.from_pydict(columns)


def _has_no_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) or pa.types.is_duration(kind)
                or pa.types.is_interval(kind))


def quoted(name: str) -> str:
    """A column's name in SQL."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _chained(
    first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    yield first
    yield from rest
