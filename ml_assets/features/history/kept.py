"""A table's rows asked directly, without Feast: what held for some keys at some instants."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ml_assets.core.codes import codes_of
from ml_assets.features.engine.exact import Floats, Ints
from ml_assets.features.history.lookup import Asked, numbers, of_entities
from ml_assets.features.history.prefix import LoadedRows
from ml_assets.features.history.relations.as_of import Rows, latest
from ml_assets.features.history.relations.duck import (
    Connection,
    Limits,
    array_of,
    half_of_memory,
    opened,
    table_of,
)
from ml_assets.features.history.relations.refusing import explained
from ml_assets.features.history.relations.source import PLACE, Source, parquet_files, relation_of
from ml_assets.features.history.spine import INSTANT, Spine, spine_of_table

EVENT_TIMESTAMP, KNOWN_AT = "event_timestamp", "known_at"
"""The columns of a table's rows: from when on they hold, and when they became known."""
_AT = "__asked_at"


def kept_at(
    folder: Path, keys: Sequence[str], columns: Sequence[str], ttl: int, asked: pd.DataFrame,
    at: Ints, *, loaded: LoadedRows | None = None, limits: Limits | None = None,
) -> Floats:
    """The features `columns` (n, len(columns)) of the rows that held `at`, from those in `folder`.

    Texts are there as their codes, instants as how many seconds before `at` they were.

    asked: (n rows) a column for each of `keys`; others are ignored
    at: (n) microseconds since 1970 UTC. A row counts from `event_timestamp` on for `ttl` (0 for
        ever), and not before it was known; of several the latest
    loaded: counts what loads had brought instead of what was known

    NaN where a key is missing, no row holds or its value is null. Raises NotReady where the
    folder has no Parquet file.
    """
    if not len(asked):
        table_source(folder)
        return np.empty((0, len(columns)))
    spine_rows = pa.Table.from_pandas(asked[list(keys)], preserve_index=False)
    spine_rows = spine_rows.append_column(_AT, pa.array(at).cast(INSTANT))
    with opened(limits or Limits(memory=half_of_memory())) as con, explained():
        spine = spine_of_table(con, spine_rows, _AT, keys)
        lookup = KeptNumbers(con, folder, keys, columns, ttl, spine)
        questions = Asked.of(table_of(con, lookup.asked)).in_order()
        return lookup.found(table_of(con, lookup.rows), questions, loaded)


class KeptNumbers:
    """Features of a table's rows as numbers for a spine, as a `Lookup`; see `kept_at`."""

    reach: int | None = None
    arrival = ""

    def __init__(
        self, con: Connection, folder: Path, keys: Sequence[str], columns: Sequence[str], ttl: int,
        spine: Spine,
    ) -> None:
        self._columns, self._ttl = columns, ttl
        self.row_bytes, self.asked_bytes = 80 + 80 * len(columns), 100 + 16 * len(columns)
        self.source = table_source(folder)
        relation = relation_of(con, self.source)
        self.entities, self.asked = spine.entities(keys), spine.asked(keys)
        select = [f"{relation.micros(EVENT_TIMESTAMP)} as at", f"{PLACE} as place",
                  f"{relation.micros(KNOWN_AT)} as known",
                  *(f"{relation.column(name)} as v{n}" for n, name in enumerate(columns))]
        assert spine.high is not None
        where = [relation.compared(EVENT_TIMESTAMP, "<=", spine.high)]
        self.rows = of_entities(select, relation, keys, spine, keys, where)

    def answer(self, rows: pa.Table, asked: Asked) -> pa.Table:
        found = self.found(rows, asked, None)
        return numbers(asked, {name: found[:, n] for n, name in enumerate(self._columns)})

    def values(self, found: str) -> None:
        """What `answer` gives has the features already."""

    def found(self, rows: pa.Table, asked: Asked, loaded: LoadedRows | None) -> Floats:
        """(m, columns) of m questions."""
        columns = range(len(self._columns))
        values = np.stack([_floats(rows[f"v{n}"]) for n in columns], axis=1) \
            if self._columns else np.empty((len(rows), 0))
        ages = [n for n in columns if pa.types.is_timestamp(rows[f"v{n}"].type)]
        answers = np.full((len(asked.at), len(self._columns)), np.nan)
        held = Rows(entity=array_of(rows, "code"), at=array_of(rows, "at"),
                    created=array_of(rows, "known"), place=array_of(rows, "place"))
        for some, seen in _parts(held, len(asked.at), loaded):
            mine = Rows(entity=held.entity[seen], at=held.at[seen], place=held.place[seen],
                        created=None if held.created is None else held.created[seen])
            which = latest(mine, asked.code[some], asked.at[some], ttl=self._ttl,
                           known=loaded is None)
            there = which >= 0
            answers[some[there]] = values[seen[which[there]]]
        answers[:, ages] = (asked.at[:, None] - answers[:, ages] * 1e6) / 1e6
        return answers


def table_source(folder: Path) -> Source:
    """The files of a table. Raises NotReady where there is none."""
    source = Source(
        folder.name, folder, parquet_files(folder), writer=f"{folder.parent.name}/{folder.name}")
    source.require()
    return source


def _parts(
    rows: Rows, count: int, loaded: LoadedRows | None
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """(questions, the rows that they may see): one part for each state that was loaded."""
    if loaded is None:
        return [(np.arange(count), np.arange(len(rows.at)))]
    assert rows.created is not None
    # What was loaded before there were positions was no table.
    loads = [load for load in loaded.loads if load.seq]
    seqs = np.array([load.seq for load in loads], dtype=np.int64)
    state = np.searchsorted(seqs, loaded.upto, side="right")
    parts = []
    for number in np.unique(state).tolist():
        seen = np.zeros(len(rows.at), dtype=bool)
        for load in loads[:number]:
            seen |= (rows.created >= load.since) & (rows.created < load.until)
        parts.append((np.flatnonzero(state == number), np.flatnonzero(seen)))
    return parts


def _floats(column: pa.ChunkedArray) -> Floats:
    """What a vector has of a column; of an instant, as Feast, its seconds since 1970."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return codes_of(column.to_pylist())
    if pa.types.is_timestamp(kind):
        column = pc.cast(pc.cast(column, pa.timestamp("s", kind.tz), safe=False), pa.int64())
    if pa.types.is_boolean(kind):
        column = pc.cast(column, pa.int8())
    values: Floats = pc.cast(column, pa.float64(), safe=False).to_numpy().astype(np.float64)
    return values
