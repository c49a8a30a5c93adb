"""How results are compared with a peer's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Floats = npt.NDArray[np.float64]


def table_digest(found: pa.Table, columns: Sequence[str]) -> str:
    """The same for tables that hold the same float32 `columns` in the order of `row`."""
    ordered = found.take(pc.sort_indices(found["row"]))
    rows = ordered["row"].to_numpy().astype(np.int64)
    return digest(rows, *(_float32(ordered[name]) for name in columns))


def digest(*arrays: npt.NDArray[np.generic]) -> str:
    """The same for the same bits, and for any NaN."""
    said = hashlib.blake2b(digest_size=16)
    for each in arrays:
        one_nan = np.where(np.isnan(each), np.nan, each) if each.dtype.kind == "f" else each
        said.update(np.ascontiguousarray(one_nan.astype(each.dtype)).tobytes())
    return said.hexdigest()


def matrix(found: pa.Table, columns: Sequence[str]) -> Floats:
    """The float64 `columns` (n, F) in the order of `row`, nulls as NaN."""
    ordered = found.take(pc.sort_indices(found["row"]))
    return np.column_stack([
        ordered[name].cast(pa.float64()).to_numpy().astype(np.float64) for name in columns
    ])


def _float32(column: pa.ChunkedArray) -> npt.NDArray[np.float32]:
    values: npt.NDArray[np.float32] = column.cast(pa.float32()).to_numpy().astype(np.float32)
    return values
