"""Whether stored rows keep a contract, found column by column: what differs is looked at once.

A contract says something of each value by itself, and of numbers and instants that they lie
between bounds. So it is enough to ask about a column's distinct values, or its least and greatest.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from ml_assets.core.data.columns import LONGEST_LIST, Column
from ml_assets.core.runtime.isolation import Fault, attempt
from ml_assets.core.time import declared_instant
from ml_assets.ingest.contracts.rows import INSTANTS, Contract
from ml_assets.ingest.contracts.values import breach_of
from ml_assets.ingest.tables import LOG_SEQ

BETWEEN_BOUNDS = ("number", "integer", "instant")


def keeps(contract: Contract, parts: Iterable[pa.Table]) -> bool:
    """Whether no row of these parts breaks the contract; see `Contract.breaches`, which says the
    same of rows one by one, and which one does.
    """
    expected = {"event_id", *INSTANTS, *(column.name for column in contract.columns)}
    seen: set[str] = set()
    return all(_part_keeps(contract, part, expected, seen) for part in parts)


def _part_keeps(contract: Contract, part: pa.Table, expected: set[str], seen: set[str]) -> bool:
    if set(part.column_names) - {LOG_SEQ} != expected:
        return False
    return new_ids(part["event_id"], seen) and all(
        are_instants(part[name]) for name in INSTANTS
    ) and all(
        column_keeps(column, part[column.name], is_key=column.name in contract.keys)
        for column in contract.columns
    )


def new_ids(ids: pa.ChunkedArray, seen: set[str]) -> bool:
    """Whether all of them are ids of events, and none was `seen` before; then they are."""
    found = ids.to_pylist()  # a text in Arrow that Python can read is one that UTF-8 can hold
    new = set(found)
    if len(new) != len(found) or None in new or "" in new or not seen.isdisjoint(new):
        return False
    seen |= new
    return True


def column_keeps(column: Column, values: pa.ChunkedArray, *, is_key: bool) -> bool:
    """Whether `values.taken` takes each of these values, which have the column's type."""
    missing = _missing(values)
    if not column.optional and pc.any(missing).as_py():
        return False
    values = values.filter(pc.invert(missing))
    if column.many:
        lengths = pc.min_max(pc.list_value_length(values)).as_py()
        if any(each is not None and not _fits(column, each) for each in lengths.values()):
            return False
        values = pc.list_flatten(values)
        if pc.any(_missing(values)).as_py():
            return False
    return all(
        breach_of(column, [each] * (column.length or 1) if column.many else each, is_key=is_key)
        is None for each in _telling(column, values))


def _fits(column: Column, length: int) -> bool:
    return length <= LONGEST_LIST if column.length is None else length == column.length


def _telling(column: Column, values: pa.ChunkedArray) -> list[object]:
    """Those of the values by which all of them are judged; none is missing."""
    if column.dtype in BETWEEN_BOUNDS:
        found: dict[str, object] = pc.min_max(values).as_py()
        return [each for each in found.values() if each is not None]
    return list(pc.unique(values).to_pylist())


def are_instants(values: pa.ChunkedArray) -> bool:
    """Whether an event may happen at each of them."""
    bounds = pc.min_max(values).as_py()
    return values.null_count == 0 and all(
        not isinstance(attempt(declared_instant, each), Fault)
        for each in bounds.values() if each is not None)


def _missing(values: pa.ChunkedArray) -> pa.ChunkedArray:
    floating = pa.types.is_floating(values.type)
    return pc.is_null(values, nan_is_null=floating)
