"""What a contract takes of many rows at once, column by column: it is what it takes of each.

Nearly all rows keep their contract, and are of the types that a column has in the lake. Whatever
else there is, is left to be taken row by row, which also says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from ml_assets.core.data.columns import Column, Dtype
from ml_assets.core.runtime.isolation import Fault, attempt
from ml_assets.ingest.contracts.rows import INSTANTS, Contract
from ml_assets.ingest.contracts.stored import are_instants, column_keeps, new_ids
from ml_assets.ingest.contracts.values import taken

PLAIN: Mapping[Dtype, type] = {
    "text": str, "category": str, "number": float, "integer": int, "boolean": bool,
}
"""The one type whose values Arrow holds as they are."""
EXACT = 2**53
"""A whole number up to this size is a float64 as it is."""


def taken_at_once(
    contract: Contract, stamps: pa.Table, events: Sequence[Mapping[str, object]],
    schema: pa.Schema, seen: set[str],
) -> pa.Table | None:
    """The rows of a stream, in `schema`; None if one of them must be looked at by itself.

    stamps: ids, instants and what else is not the event's own; events: what a parser gave
    seen: the ids of the rows before them, to which theirs are added
    """
    if not all(are_instants(stamps[name]) for name in INSTANTS):
        return None
    columns = {name: stamps[name] for name in stamps.column_names}
    for column in contract.columns:
        found = attempt(
            _column, column, [event.get(column.name) for event in events],
            schema.field(column.name).type, column.name in contract.keys)
        if found is None or isinstance(found, Fault):
            return None
        columns[column.name] = found
    if not new_ids(stamps["event_id"], seen):
        return None
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _column(
    column: Column, values: list[object], kind: pa.DataType, is_key: bool
) -> pa.ChunkedArray | None:
    """Raises what Arrow or `taken` does of a value that the column cannot hold."""
    plain = None if column.many else PLAIN.get(column.dtype)
    types = set(map(type, values)) - {type(None)}
    if plain is float and int in types:
        values = [float(each) if type(each) is int and -EXACT <= each <= EXACT else each
                  for each in values]
        types = set(map(type, values)) - {type(None)}
    if plain is None:
        values = [taken(column, each, is_key=is_key) for each in values]
    elif not types <= {plain}:
        return None
    # What is no number is missing, as in `taken`.
    held = pa.chunked_array([pa.array(values, kind, from_pandas=True)], kind)
    return held if plain is None or column_keeps(column, held, is_key=is_key) else None
