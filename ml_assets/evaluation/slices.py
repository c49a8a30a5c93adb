"""The parts of the rows that are judged on their own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import numpy.typing as npt

from ml_assets.core.data.columns import Dtype
from ml_assets.core.declaration import closest
from ml_assets.core.errors import DeclarationError
from ml_assets.core.policies import Slice
from ml_assets.core.slates import OF_ROWS
from ml_assets.core.system import System

if TYPE_CHECKING:
    import pandas as pd

WRITTEN = {
    "event_id": "varchar", "event_timestamp": "timestamptz", "accepted_at": "timestamptz",
    "label": "as the target says", "known_at": "timestamptz", "split": "varchar",
}
"""What the platform writes into the rows beside a system's columns and features: SQL types."""

TYPES: Mapping[Dtype, str] = {
    "text": "varchar", "number": "double", "integer": "bigint", "category": "varchar",
    "boolean": "boolean", "instant": "timestamptz",
}

LABELS = {"bool": "boolean", "string": "varchar", "double": "double"}

UNKNOWN_COLUMN = re.compile(r'(?:Referenced column|a column named) "([^"]+)"')


def require_slices(system: System, features: Sequence[str]) -> None:
    """Raise DeclarationError unless the SQL of each slice is a condition on the rows' columns.

    features: what the system's feature service adds to the events' columns. A row of nulls is
    asked, so that a text which is compared with a number is found too.
    """
    columns = WRITTEN | {"label": LABELS[system.target.lake_type]}
    columns |= {each.name: f"{TYPES[each.dtype]}{'[]' if each.many else ''}"
                for each in system.columns}
    if system.target.slates is not None:
        columns |= dict(zip(OF_ROWS, ("bigint", "double"), strict=True))
    columns |= dict.fromkeys(features, "float")
    with duckdb.connect() as database:
        database.execute(f"create table rows ({', '.join(f'{n} {t}' for n, t in columns.items())})")
        database.execute(f"insert into rows values ({', '.join(['null'] * len(columns))})")
        for part in system.slices:
            try:
                database.execute(f"select 1 from rows where ({part.where})").fetchall()
            except duckdb.Error as error:
                raise DeclarationError(_refusal(system, part, columns, str(error))) from error


def _refusal(system: System, part: Slice, columns: dict[str, str], error: str) -> str:
    owner = f"System {system.name!r}: Slice {part.name!r}: where is {part.where!r}"
    unknown = UNKNOWN_COLUMN.search(error)
    if unknown is None:
        return f"{owner}; expected an SQL condition on the rows to judge: {error}"
    name = unknown[1]
    return (
        f"{owner}, which names {name!r}; expected declared columns or features of "
        f"{system.feature_service!r}."
        f"{closest(name, columns) or ' Known: ' + ', '.join(sorted(columns)) + '.'}"
    )


def rows_of(part: Slice, rows: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Which of the N rows belong to the slice, (N,); if its condition is null, none.

    Raises DeclarationError, naming the slice, where `where` is no condition on the columns.
    """
    chosen = np.zeros(len(rows), dtype=bool)
    with duckdb.connect() as database:
        database.register("rows", rows.assign(row_number_=np.arange(len(rows))))
        try:
            selected = database.sql(
                f"select row_number_ from rows where ({part.where})").fetchnumpy()
        except duckdb.Error as error:
            raise DeclarationError(
                f"Slice {part.name!r}: where={part.where!r} is no condition on the columns "
                f"{', '.join(map(str, rows.columns))}: {error}"
            ) from error
    chosen[np.asarray(selected["row_number_"], dtype=np.int64)] = True
    return chosen
