"""Feast's value types as Arrow's: what a column holds whose files are not there yet."""

from __future__ import annotations

import pyarrow as pa
from feast.types import (
    Array,
    Bytes,
    FeastType,
    ImageBytes,
    Invalid,
    PdfBytes,
    ScalarMap,
    Set,
    Struct,
    from_feast_to_pyarrow_type,
)

# Feast knows no Arrow type for these, nor for collections of them.
_OWN: dict[FeastType, pa.DataType] = {
    Bytes: pa.binary(), PdfBytes: pa.binary(), ImageBytes: pa.binary(), Invalid: pa.null(),
    # Its keys may be of several types, which no Arrow map has; in Parquet they are texts.
    ScalarMap: pa.map_(pa.string(), pa.string()),
}


def arrow_type_of(dtype: FeastType) -> pa.DataType:
    """The Arrow type of any Feast type; a set is a list, as in Feast."""
    if isinstance(dtype, Array | Set):
        return pa.list_(arrow_type_of(dtype.base_type))
    if isinstance(dtype, Struct):
        return pa.struct([(name, arrow_type_of(kind)) for name, kind in dtype.fields.items()])
    return _OWN[dtype] if dtype in _OWN else from_feast_to_pyarrow_type(dtype)
