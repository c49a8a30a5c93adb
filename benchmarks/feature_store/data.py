"""Synthetic tables, the same in each run: input to the measurements, never measured themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

Ints = npt.NDArray[np.int64]

FEATURES = 10
"""float32 columns of each plain view."""

HISTORY = 100
"""Rows of an entity, on average, unless a cell says otherwise."""

START_US = 1_700_000_000_000_000
DAY_US = 86_400_000_000
SPAN_US = 180 * DAY_US
"""Rows are spread evenly over this time from START_US on."""

TIES = 0.01
"""The share of rows that repeat another's entity and instant, as corrections do."""

_CHUNK = 1_000_000


def feature_names(view: int) -> list[str]:
    return [f"view{view}_f{number}" for number in range(FEATURES)]


def write_history(path: Path, *, view: int, rows: int, entities: int) -> None:
    """A plain view's source: customer, event_timestamp, created, ten float32; unsorted.

    `created` differs between tied rows, so exactly one of them is the latest.
    """
    random = np.random.default_rng((1, view, rows, entities))

    def chunk(first: int, n: int) -> pa.Table:
        customer, at = random.integers(0, entities, n), random.integers(0, SPAN_US, n)
        tied = np.flatnonzero(random.random(n) < TIES)
        original = random.integers(0, n, len(tied))
        customer[tied], at[tied] = customer[original], at[original]
        return pa.table({
            "customer": customer,
            "event_timestamp": instants(START_US + at),
            "created": instants(START_US + at + first + random.permutation(n)),
            **{name: random.random(n, dtype=np.float32) for name in feature_names(view)},
        })

    _write(path, (chunk(first, n) for first, n in _chunks(rows)))


def write_entities(path: Path, *, view: int, rows: int) -> None:
    """A plain view's source with one row for each customer from 0 on, as in `write_history`.

    A longer table starts with the rows of a shorter one.
    """
    random = np.random.default_rng((2, view))

    def chunk(first: int, n: int) -> pa.Table:
        at = instants(START_US + np.arange(first, first + n))
        values = random.random((n, FEATURES), dtype=np.float32)
        return pa.table({
            "customer": np.arange(first, first + n),
            "event_timestamp": at,
            "created": at,
            **{name: values[:, place] for place, name in enumerate(feature_names(view))},
        })

    _write(path, (chunk(first, n) for first, n in _chunks(rows)))


def write_events(path: Path, *, rows: int) -> None:
    """A stream's events: event_id, customer (both text), event_timestamp, accepted_at, amount.

    Amounts are multiples of 1/64 below 100, so float64 sums are exact in any order.
    """
    random = np.random.default_rng((3, rows))
    customers = np.array([f"c{number:07d}" for number in range(max(1, rows // HISTORY))])

    def chunk(first: int, n: int) -> pa.Table:
        at = instants(START_US + random.integers(0, SPAN_US, n))
        numbers = pc.cast(pa.array(np.arange(first, first + n)), pa.string())
        return pa.table({
            "event_id": pc.binary_join_element_wise("event-", numbers, ""),
            "customer": pa.array(customers).take(
                pa.array(random.integers(0, len(customers), n))
            ),
            "event_timestamp": at,
            "accepted_at": at,
            "amount": random.integers(0, 6400, n) / 64,
        })

    _write(path, (chunk(first, n) for first, n in _chunks(rows)))


def make_spine(*, rows: int, entities: int, text: bool = False) -> pd.DataFrame:
    """The spine of a training set: customer, event_timestamp, and `row`, its number.

    text: customers as `write_events` names them, not as numbers
    """
    random = np.random.default_rng((4, rows, entities))
    at = START_US + random.integers(0, SPAN_US, rows)
    customer: pd.Series[int] = pd.Series(random.integers(0, entities, rows))
    return pd.DataFrame({
        "customer": customer.map("c{:07d}".format) if text else customer,
        "event_timestamp": pd.Series(at.view("datetime64[us]")).dt.tz_localize("UTC"),
        "row": np.arange(rows),
    })


def instants(us: Ints) -> pa.Array:
    return pa.array(us, pa.timestamp("us", tz="UTC"))


def _chunks(rows: int) -> Iterator[tuple[int, int]]:
    """(first row, rows) of each chunk."""
    return ((first, min(_CHUNK, rows - first)) for first in range(0, rows, _CHUNK))


def _write(path: Path, tables: Iterator[pa.Table]) -> None:
    first = next(tables)
    with pq.ParquetWriter(path, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)
