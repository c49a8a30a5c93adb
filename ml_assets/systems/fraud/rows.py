"""Simulated payments as rows: drawn once into a Parquet file in the cache, a day at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_assets.core.declaration import declaration
from ml_assets.core.errors import FetchError
from ml_assets.core.policies import require
from ml_assets.core.storage.files import replacing
from ml_assets.systems.fraud.handbook import DAYS, Payments, handbook
from ml_assets.systems.fraud.payments import drawn
from ml_assets.systems.fraud.scenarios import Spell
from ml_assets.systems.fraud.world import CUSTOMERS, TERMINALS

if TYPE_CHECKING:
    import pyarrow as pa

FIRST = date(2018, 4, 1)
"""The day on which the handbook's payments begin."""
BATCH = 10_000
FORMAT = 1
"""Raise it if the same declaration makes another file."""


@declaration
class SimulatedPayments:
    """Rows of any number of customers and days, with whatever fraudsters do when.

    customers: 5,000 make some 9,700 payments a day
    """

    customers: int
    days: int = DAYS
    spells: tuple[Spell, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        require(10 <= self.customers < 2**23, self, "customers", self.customers,
                f"10 to {2**23 - 1:,}: ids of twice as many terminals must fit in a float32")
        require(self.days >= 1, self, "days", self.days, "at least 1")

    def fetch(self, cache: Path) -> Path:
        """Draws the file, unless it is there already."""
        return _file(cache, repr(self), drawn(self.customers, self.days, self.spells, self.seed))

    def stamp(self, fetched: Path) -> str | None:
        return fetched.name

    def batches(self, fetched: Path) -> Iterator[pa.RecordBatch]:
        return _batches(fetched)


@declaration
class HandbookPayments:
    """The rows of the handbook, as published for these numbers."""

    customers: int = CUSTOMERS
    terminals: int = TERMINALS
    days: int = DAYS

    def fetch(self, cache: Path) -> Path:
        """Draws the file, unless it is there already."""
        return _file(cache, repr(self), self._drawn())

    def stamp(self, fetched: Path) -> str | None:
        return fetched.name

    def batches(self, fetched: Path) -> Iterator[pa.RecordBatch]:
        return _batches(fetched)

    def _drawn(self) -> Iterator[Payments]:
        made, _ = handbook(self.customers, self.terminals, self.days)
        starts = np.searchsorted(made.day, np.arange(self.days + 1))
        for low, high in pairwise(starts.tolist()):
            yield Payments(**{name: values[low:high] for name, values in vars(made).items()})


def _file(cache: Path, said: str, days: Iterator[Payments]) -> Path:
    """A row group for each day."""
    import pyarrow.parquet as pq

    name = hashlib.sha256(f"{FORMAT} {said}".encode()).hexdigest()[:16]
    path = cache / f"payments-{name}.parquet"
    if path.exists():
        return path
    with replacing(path) as temporary, pq.ParquetWriter(
            temporary, _schema(), compression="zstd") as file:
        count = 0
        for made in days:
            file.write_table(_table(made, count))
            count += len(made.second)
    return path


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([
        ("payment", pa.string()), ("happened", pa.timestamp("us", "UTC")),
        ("customer", pa.int32()), ("terminal", pa.int32()), ("amount", pa.float64()),
        ("is_fraud", pa.bool_()), ("scenario", pa.int8()),
    ])


def _table(made: Payments, first: int) -> pa.Table:
    """first: how many payments there were before"""
    import pyarrow as pa

    numbers: Any = pa.array(np.arange(first, first + len(made.second)))
    happened = np.datetime64(FIRST, "us") + made.second.astype("m8[s]")
    return pa.Table.from_arrays([
        numbers.cast(pa.string()), pa.array(happened, pa.timestamp("us")).cast(_schema().types[1]),
        pa.array(made.customer), pa.array(made.terminal), pa.array(made.amount),
        pa.array(made.scenario > 0), pa.array(made.scenario),
    ], schema=_schema())


def _batches(fetched: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(fetched) as file:
            yield from file.iter_batches(BATCH)
    except (pa.ArrowException, OSError) as error:
        raise FetchError(f"{fetched} cannot be read as Parquet: {error}. Delete it, and it is "
                         "drawn again.") from error
