"""A windowed view asked directly, without Feast: what it held for some keys at some instants."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ml_assets.features.engine.exact import Floats, Ints
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.history.lookup import Asked, numbers
from ml_assets.features.history.prefix import Prefix
from ml_assets.features.history.relations.duck import (
    Connection,
    Limits,
    array_of,
    half_of_memory,
    opened,
    table_of,
)
from ml_assets.features.history.relations.refusing import explained
from ml_assets.features.history.relations.source import Source, parquet_files, relation_of
from ml_assets.features.history.spine import INSTANT, Spine, spine_of_table
from ml_assets.features.history.windowed import (
    aggregate_rows,
    bytes_of_rows,
    events_sql,
    order_of_arrival,
)

_AT = "event_timestamp"


def windowed_at(
    view: WindowedView, folder: Path, keys: pd.DataFrame, at: Ints, *,
    known_by: Ints | None = None, prefix: Prefix | None = None, limits: Limits | None = None,
    since: date | None = None,
) -> Floats:
    """Every feature of the view (n, len(view.columns)) as of `at`, from the events in `folder`.

    keys: (n rows) a column for each of the view's keys; others are ignored
    at:   (n) a reader's instants, microseconds since 1970 UTC; `view.as_of` is applied here
    known_by: (n) events with `view.created` after it are not seen, nor those that lack it;
        without effect where the view names no such column
    prefix: instead, what the online state had counted by then
    since: of files that are named for days, those of earlier ones are left out: nothing in them
        may reach the earliest of `at`

    NaN where a key is missing or a feature has no value. Raises NotReady where the folder has
    no Parquet file, UnknownName for a column that it lacks, DeclarationError and
    ContractViolation for types and values that cannot be aggregated.
    """
    source = stream_source(folder, since)
    if not len(keys):
        return np.empty((0, len(view.columns)))
    asked_at = pa.array(at).cast(INSTANT)
    rows = pa.table({_AT: asked_at}) if not view.keys else pa.Table.from_pandas(
        keys[list(view.keys)], preserve_index=False).append_column(_AT, asked_at)
    known_until = None if known_by is None or not view.created else int(known_by.max())
    with opened(limits or Limits(memory=half_of_memory())) as con, explained():
        relation, spine = relation_of(con, source), spine_of_table(con, rows, _AT, view.keys)
        sql = events_sql(
            relation, view, spine, {key: key for key in view.keys},
            before=spine.high, known_by=known_until,
            extra=() if prefix is None else prefix.columns(relation, view),
        )
        asked = Asked.of(table_of(con, spine.asked(view.keys))).in_order()
        found = table_of(con, sql)
        if prefix is None:
            return aggregate_rows(view, found, asked, known_by=known_by)
        positions = prefix.positions(array_of(found, "own"), array_of(found, "filed"))
        return aggregate_rows(view, found, asked, known_by=prefix.upto, arrived=positions)


class WindowedNumbers:
    """Some features of a windowed view as numbers for a spine, as a `Lookup`.

    Raises what `windowed_at` raises.
    """

    def __init__(
        self, con: Connection, view: WindowedView, folder: Path, columns: Sequence[str],
        spine: Spine, *, since: date | None = None,
    ) -> None:
        self._view, self._columns = view, columns
        self.source = stream_source(folder, since)
        relation = relation_of(con, self.source)
        self.entities, self.asked = spine.entities(view.keys), spine.asked(view.keys)
        self.rows = events_sql(
            relation, view, spine, {key: key for key in view.keys}, before=spine.high,
            known_by=spine.known_by if view.created else None)
        self.row_bytes, self.asked_bytes = bytes_of_rows(view)
        self.reach: int | None = view.reach
        self.arrival = order_of_arrival(view)

    def answer(self, rows: pa.Table, asked: Asked) -> pa.Table:
        known_by = asked.known_by if self._view.created else None
        values = aggregate_rows(self._view, rows, asked, known_by=known_by)
        return numbers(asked, {
            name: values[:, self._view.columns.index(name)] for name in self._columns})

    def values(self, found: str) -> None:
        """What `answer` gives has the features already."""


def stream_source(folder: Path, since: date | None) -> Source:
    """The files of a stream; see `windowed_at`. Raises NotReady where there is none."""
    files = parquet_files(folder)
    if since is not None:  # unless none is left: an empty table has columns too
        files = tuple(each for each in files if Path(each).stem >= since.isoformat()) or files[-1:]
    source = Source(folder.name, folder, files, writer=f"{folder.parent.name}/{folder.name}")
    source.require()
    return source
