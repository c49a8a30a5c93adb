"""What readers say about a row beside its columns: where it was, and why it cannot be used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

ORIGIN = "_origin"
"""The column that says where a row was, for messages: `orders.csv:17`."""
PROBLEM = "_problem"
"""The column that says why a row cannot be used; null if it can. Its columns are then null."""

BATCH = 10_000
"""Rows in a batch."""


def texts_of(
    names: Sequence[str], rows: Iterable[tuple[Sequence[str | None] | None, str, str | None]]
) -> Iterator[pa.RecordBatch]:
    """Batches of rows whose values are texts: (values, origin, problem), values None if none.

    At least one, so that the columns of no rows are known too.
    """
    schema = pa.schema([(name, pa.string()) for name in (*names, ORIGIN, PROBLEM)])
    empty = (None,) * len(names)
    held: list[tuple[str | None, ...]] = []
    full = False
    for values, origin, problem in rows:
        held.append((*(empty if values is None else values), origin, problem))
        if len(held) == BATCH:
            yield _batch(held, schema)
            held, full = [], True
    if held or not full:
        yield _batch(held, schema)


def numbered(
    batches: Iterable[pa.RecordBatch], name: str, first: int = 1
) -> Iterator[pa.RecordBatch]:
    """The batches, with where each row was: `<name>:17`."""
    for batch in batches:
        origins = [f"{name}:{first + place}" for place in range(batch.num_rows)]
        first += batch.num_rows
        yield pa.RecordBatch.from_arrays(
            [*batch.columns, pa.array(origins, pa.string())],
            names=[*batch.schema.names, ORIGIN],
        )


def _batch(rows: Sequence[tuple[str | None, ...]], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array([row[place] for row in rows], pa.string()) for place in range(len(schema))],
        schema=schema)
