"""The point-in-time join: what all views answer, beside the rows of the spine, in its order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ml_assets.core.errors import InvalidRequest
from ml_assets.core.runtime.workers import WorkerPool
from ml_assets.features.history.lookup import ANSWERED, Asked, Planned
from ml_assets.features.history.pieces import of_size, read_features, write_features
from ml_assets.features.history.plain import PlainLookup
from ml_assets.features.history.plan import ViewPlan
from ml_assets.features.history.relations.duck import (
    Connection,
    array_of,
    table_of,
)
from ml_assets.features.history.relations.refusing import explained
from ml_assets.features.history.relations.source import count_of, relation_of
from ml_assets.features.history.sharded.answering import answering_of
from ml_assets.features.history.spine import Spine
from ml_assets.features.history.windowed import WindowedLookup

_WIDE = 32
"""Bytes, as an estimate, of a value whose type does not tell."""


def joined(
    con: Connection, spine: Spine, plans: Sequence[ViewPlan], *, known: bool, scratch: Path,
    memory: int, size: int, workers: WorkerPool | None = None,
) -> Iterator[pa.Table]:
    """The spine with the features: at least one table, in order.

    known: rows of a source that were created after the instant do not count
    scratch: takes what does not fit in `memory` bytes; then tables have at most `size` rows
    workers: answer the views, if there are any; `scratch` is theirs too

    Raises InvalidRequest where the spine lacks a join key or has a feature's name.
    """
    _require_columns(spine, plans)
    lookups = [_lookup(con, plan, spine, known) for plan in plans]
    largest = max((_bytes_at_once(con, each, spine) for each in lookups), default=0)
    answer = spine.rows * sum(_width(each.kind) for plan in plans for each in plan.outputs)
    with explained():
        if workers is None and spine.table is not None and largest + answer <= memory:
            yield _at_once(con, spine, lookups)
        else:
            yield from _in_pieces(con, spine, lookups, scratch, memory, size, workers)


def _lookup(con: Connection, plan: ViewPlan, spine: Spine, known: bool) -> Planned:
    relation = relation_of(con, plan.source, plan.declared)
    if plan.windowed is not None:
        return WindowedLookup(relation, plan, plan.windowed, spine, known=known)
    return PlainLookup(relation, plan, spine, known=known)


def _at_once(con: Connection, spine: Spine, lookups: Sequence[Planned]) -> pa.Table:
    assert spine.table is not None
    table = spine.table
    for lookup in lookups:
        asked = Asked.of(table_of(con, lookup.asked)).in_order()
        found = lookup.answer(table_of(con, lookup.rows), asked)
        values = lookup.values("found")
        if values is not None:
            con.register("found", found)
            found = table_of(con, values)
            con.unregister("found")
        place = np.full(spine.rows, -1)
        place[array_of(found, ANSWERED)] = np.arange(found.num_rows)
        index = pa.array(place, mask=place < 0)
        for each in lookup.plan.outputs:
            table = table.append_column(each.name, found[each.name].take(index))
    return table


def _in_pieces(
    con: Connection, spine: Spine, lookups: Sequence[Planned], scratch: Path, memory: int,
    size: int, workers: WorkerPool | None,
) -> Iterator[pa.Table]:
    """The same with bounded memory: each view's features wait in a file, in spine order."""
    files = []
    for number, lookup in enumerate(lookups):
        files.append(scratch / f"view_{number}.parquet")
        write_features(con, lookup, files[-1], memory, answering_of(workers, scratch))
    parts = [of_size(spine.parts(size), size)]
    parts += [of_size(read_features(file, size), size) for file in files]
    for beside in zip(*parts, strict=True):
        table = beside[0]
        for features in beside[1:]:
            for name in features.schema.names:
                table = table.append_column(name, features[name])
        yield table


def _bytes_at_once(con: Connection, lookup: Planned, spine: Spine) -> int:
    """At most so much is needed to answer a view in one piece."""
    rows = count_of(con, lookup.plan.source)
    return rows * lookup.row_bytes + spine.rows * lookup.asked_bytes


def _width(kind: pa.DataType) -> int:
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:
        return _WIDE


def _require_columns(spine: Spine, plans: Sequence[ViewPlan]) -> None:
    names = set(spine.schema.names)
    for plan in plans:
        spine.require(plan)
        for each in plan.outputs:
            if each.name in names:
                raise InvalidRequest(
                    f"feature {each.feature!r} of view {plan.name!r} has the name of another "
                    f"column of the answer; rename it in the spine or ask for full_feature_names"
                )
            names.add(each.name)
