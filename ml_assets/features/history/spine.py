"""The rows that features are asked for: who, when, and what else they carry."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml_assets.core.errors import InvalidRequest
from ml_assets.core.storage.sql import file_of, name_of
from ml_assets.features.history.plan import ViewPlan
from ml_assets.features.history.relations.duck import (
    Connection,
    batches_of,
    columns_of,
    micros,
    micros_of,
    row_of,
)
from ml_assets.features.history.relations.instants import EXPECTED, instants_of
from ml_assets.features.history.relations.keys import Key, key_of
from ml_assets.features.history.relations.refusing import REQUEST, explained, refused
from ml_assets.features.history.relations.source import parquet_files, relation_of

INSTANT = pa.timestamp("us", tz="UTC")
_ROW, _AT, _KNOWN = "__spine_row", "__spine_at", "__spine_known"


@dataclass
class Spine:
    """The rows, in memory or spilled into a file, and a relation `spine` of their keys.

    schema: the columns as they are given back; the event timestamp is aware UTC
    timestamp: the column that says as of when
    empty: columns of nothing but nulls
    arrived: the column that says when a row itself arrived, if one does: only what had arrived
        strictly before is seen
    rows: how many; low, high: the first and last instant, None where there is none; known_by: the
        last one up to which some row sees what arrived
    """

    con: Connection
    schema: pa.Schema
    timestamp: str
    table: pa.Table | None
    file: Path | None
    empty: Collection[str] = ()
    arrived: str = ""
    rows: int = 0
    low: int | None = None
    high: int | None = None
    known_by: int | None = None
    _numbered: dict[tuple[str, ...], str] = field(default_factory=dict)
    _kinds: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known_by = f"max({_KNOWN})" if self.arrived else "null"
        self.rows, self.low, self.high, self.known_by = row_of(
            self.con, f"select count(*), min({_AT}), max({_AT}), {known_by} from spine"
        )
        self._kinds = columns_of(self.con, "spine")

    def key(self, name: str) -> Key:
        """The column `name` as a key."""
        kind = "NULL" if name in self.empty else self._kinds[name]
        return key_of(f"p.{name_of(name)}", kind, f"the spine's key {name!r}", given=True)

    def parts(self, size: int) -> Iterator[pa.Table]:
        """The rows in order, at least one table, each of at most `size` rows."""
        if self.file is not None:
            with pq.ParquetFile(self.file) as file:
                for batch in file.iter_batches(size):
                    yield pa.Table.from_batches([batch], self.schema)
            return
        assert self.table is not None
        yield self.table.slice(0, size)
        for start in range(size, self.table.num_rows, size):
            yield self.table.slice(start, size)

    def require(self, plan: ViewPlan) -> None:
        """Raises InvalidRequest where a join key of the view is missing."""
        for key in plan.spine_keys:
            if key not in self.schema.names:
                raise InvalidRequest(
                    f"the spine lacks {key!r}, a join key of feature view {plan.name!r}; "
                    f"it has {', '.join(self.schema.names)}"
                )

    def entities(self, keys: Sequence[str]) -> str:
        """A table of the distinct entities: k0, k1 ... for the keys, and `code`, from 0."""
        known = tuple(keys)
        if known not in self._numbered:
            name = f"entities_{len(self._numbered)}"
            named = {f"k{place}": self.key(key) for place, key in enumerate(keys)}
            there = [key.identifies(each) for each, key in named.items()]
            distinct = ", ".join(f"{key.sql} as {each}" for each, key in named.items())
            found = f"(select distinct {distinct} from spine as p)" if keys else "(select 1)"
            with explained():
                self.con.execute(
                    f"create table {name} as select *, row_number() over () - 1 as code "
                    f"from {found} where {' and '.join(there) or 'true'}"
                )
            self._numbered[known] = name
        return self._numbered[known]

    def asked(self, keys: Sequence[str]) -> str:
        """SQL for what is asked: i (the row), at (microseconds), code (-1 without entity); and
        known_by, if the spine says when a row arrived.
        """
        entities = self.entities(keys)
        on = " and ".join(f"{self.key(key).sql} = e.k{place}" for place, key in enumerate(keys))
        known_by = f"{_KNOWN} as known_by, " if self.arrived else ""
        return (
            f"select {_ROW} as i, coalesce({_AT}, 0) as at, {known_by}"
            f"case when {_AT} is null then -1 else coalesce(code, -1) end as code "
            f"from spine as p left join {entities} as e on ({on or 'true'})"
        )


def spine_of_rows(con: Connection, rows: pd.DataFrame, keys: Sequence[str]) -> Spine:
    """A spine of a DataFrame; `keys` are the columns that may be join keys.

    Raises InvalidRequest where a column has values of several types, and where the event
    timestamps are no instants.
    """
    timestamp = _timestamp_of(dict(rows.dtypes))
    instants = instants_of(rows[timestamp], timestamp)
    for key in keys:
        _require_one_type(rows, key)
    try:
        table = pa.Table.from_pandas(
            rows.assign(**{timestamp: instants}), preserve_index=False
        ).replace_schema_metadata(None)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise InvalidRequest(f"the spine has a column of mixed types: {error}") from error
    return spine_of_table(con, table, timestamp, keys)


def spine_of_sql(
    con: Connection, query: str, keys: Sequence[str], *, scratch: Path, memory: int,
    search: Path | None = None,
) -> Spine:
    """A spine that SQL selects, or of one Parquet file that `query` names.

    scratch: takes the rows where they need more than `memory` bytes
    search: where a file lies that is not in the working directory
    Raises InvalidRequest where there is no such file, or the event timestamps are no instants.
    """
    text = query.strip().rstrip(";")
    selected = _of_file(text, search) if text.endswith(".parquet") else f"({text})"
    kinds = columns_of(con, selected)
    timestamp = _timestamp_of(dict(con.sql(f"select * from {selected} limit 0").df().dtypes))
    instant, kind = name_of(timestamp), kinds[timestamp]
    if micros_of(instant, kind) is None:
        raise InvalidRequest(f"the spine's {timestamp!r} is {kind}; {EXPECTED}")
    at = f"{instant}::timestamptz"
    if kind == "VARCHAR":
        wrong = refused(REQUEST, f"the spine's {timestamp!r} is a text and has the value ",
                        instant, f"; {EXPECTED}")
        at = (f"case when {instant} is null or {instant} = '' then null else "
              f"coalesce(try_cast({instant} as timestamptz), {wrong}::timestamptz) end")
    with explained():
        reader = batches_of(con, f"select * replace ({at} as {instant}) from {selected}")
        found, file = _kept(reader, scratch / "spine.parquet", memory)
    if found is not None:
        return spine_of_table(con, found, timestamp, keys)
    assert file is not None
    return spine_of_file(con, file, timestamp, [key for key in keys if key in kinds])


def spine_of_file(
    con: Connection, file: Path, timestamp: str, keys: Sequence[str], *, arrived: str = ""
) -> Spine:
    """A spine that lies in a Parquet file of its own, with aware instants; see `Spine`."""
    known = f", epoch_us({name_of(arrived)}) - 1 as {_KNOWN}" if arrived else ""
    con.execute(
        f"create view spine as select file_row_number as {_ROW}, epoch_us({name_of(timestamp)}) "
        f"as {_AT}{known}{''.join(f', {name_of(key)}' for key in keys)} "
        f"from read_parquet({file_of(file)}, hive_partitioning = false)"
    )
    return Spine(con, pq.read_schema(file), timestamp, None, file, arrived=arrived)


def spine_of_all(
    con: Connection, plans: Sequence[ViewPlan], start: datetime, end: datetime, *,
    scratch: Path, memory: int,
) -> Spine:
    """Every entity that has a row in [start, end], each once, as of `end`.

    What Feast's stores for warehouses do without a spine.
    """
    first, last = micros(start), micros(end)
    selects = []
    for plan in plans:
        relation = relation_of(con, plan.source, plan.declared)
        keys = [relation.key(key) for key in plan.keys]
        columns = [
            f"{key.sql} as {name_of(name)}"
            for key, name in zip(keys, plan.spine_keys, strict=True)
        ]
        there = [key.identifies(key.sql) for key in keys]
        within = [relation.compared(plan.timestamp, ">=", first),
                  relation.compared(plan.timestamp, "<=", last)]
        if columns:
            selects.append(f"select {', '.join(columns)} from {relation.sql} as s "
                           f"where {' and '.join(there + within)}")
    entities = " union by name ".join(selects) or "select 1 where false"
    instant = f"make_timestamptz({last}::bigint) as event_timestamp"
    names = [key for plan in plans for key in plan.spine_keys]
    query = f"select distinct *, {instant} from ({entities}) order by all"
    if not selects:
        query = f"select {instant}"
    return spine_of_sql(con, query, names, scratch=scratch, memory=memory)


def spine_of_table(
    con: Connection, table: pa.Table, timestamp: str, keys: Sequence[str]
) -> Spine:
    """A spine in memory; `timestamp` is a column of instants, without a zone in UTC."""
    instants = table[timestamp]
    if instants.type.unit == "ns":
        # Rounded down, so that what happened later in the same microsecond stays later.
        instants = pc.floor_temporal(instants, unit="microsecond")
    try:
        instants = instants.cast(INSTANT)
    except pa.ArrowInvalid as error:
        raise InvalidRequest(f"the spine's {timestamp!r}: {error}; {EXPECTED}") from None
    table = table.set_column(table.schema.get_field_index(timestamp), timestamp, instants)
    empty = {each.name for each in table.schema if pa.types.is_null(each.type)}
    columns = {
        # A column of nothing but nulls has no type that could be compared.
        key: table[key].cast(pa.string()) if key in empty else table[key]
        for key in keys if key in table.schema.names
    }
    con.register("spine", pa.table({
        _ROW: np.arange(table.num_rows, dtype=np.int64), _AT: instants.cast(pa.int64()), **columns
    }))
    return Spine(con, table.schema, timestamp, table, None, empty=empty)


def _kept(
    reader: pa.RecordBatchReader, path: Path, memory: int
) -> tuple[pa.Table | None, Path | None]:
    """The rows, in memory where they fit, else in a file."""
    batches: list[pa.RecordBatch] = []
    size = 0
    for batch in reader:
        batches.append(batch)
        size += batch.nbytes
        if size > memory:
            break
    else:
        return pa.Table.from_batches(batches, reader.schema), None
    with pq.ParquetWriter(path, reader.schema, compression="lz4") as writer:
        for batch in batches:
            writer.write_batch(batch)
        batches.clear()
        for batch in reader:
            writer.write_batch(batch)
    return None, path


def _of_file(path: str, search: Path | None) -> str:
    places = [Path.cwd(), *filter(None, [search])]
    for place in places:
        if files := parquet_files(place / path):
            return f"read_parquet([{', '.join(map(file_of, files))}], hive_partitioning = false)"
    raise InvalidRequest(f"the spine is the file {path!r}, which is not in "
                         f"{' or '.join(map(str, places))}")


def _require_one_type(rows: pd.DataFrame, key: str) -> None:
    """Arrow makes bytes of a column that has texts and bytes."""
    if key in rows and rows[key].dtype == object:
        kinds = {type(value).__name__ for value in rows[key] if isinstance(value, str | bytes)}
        if len(kinds) > 1:
            raise InvalidRequest(f"the spine has a column of mixed types: {key!r} has texts and "
                                 "bytes; expected one of them")


def _timestamp_of(kinds: Mapping[str, Any]) -> str:
    """The column that Feast takes for the event timestamp, given numpy's types."""
    # Importing Feast takes seconds, and a spine that is asked directly needs none of it.
    from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df

    return str(infer_event_timestamp_from_entity_df(dict(kinds)))
