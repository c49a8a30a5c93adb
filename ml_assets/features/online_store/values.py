"""Values as the types that a feature view declares: exactly, or refused by name.

One rule for every way in (`feast materialize`, `push`, `write_to_online_store`, our own loads):

- What the source has none of is null: a null, a column without a type, and NaN for a whole number
  or a truth value, which is how pandas writes it.
- A value that the declared type cannot hold is refused with the view's, the column's and its own
  name: a whole number out of range, a fraction or an infinity for a whole number, a number that
  overflows, a text for a number, a null inside a list. Rounding to a float is not refused, but a
  whole number that float64 cannot hold is.

Imports no Feast, so that serving can use it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml_assets.core.errors import ContractViolation
from ml_assets.features.online_store.versions import Column

Cast = Callable[[Any], Any]

_BYTES = ("Bytes", "ImageBytes", "PdfBytes")
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)


def fitted(view: str, column: Column, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same values in the Arrow type that the column is packed from; nulls stay null.

    What is no number, text or list of them (a map, a JSON text, ...) comes back as it is. Raises
    ContractViolation, naming view, column and value.
    """
    cast = _cast_of(column.type)
    if cast is None:
        return values
    try:
        return _cast(cast, values)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise refused(view, column, _culprit(cast, values), error) from None


def is_checked(column: Column) -> bool:
    """Whether `fitted` knows what the values must be."""
    return _cast_of(column.type) is not None


def refused(view: str, column: Column, value: object, error: Exception) -> ContractViolation:
    """What is said of a value that cannot be stored."""
    return ContractViolation(
        f"feature view {view!r}: feature {column.name!r} is declared as {column.type} and has "
        f"the value {value!r:.200}: {error}. Correct the source, or declare another type"
    )


def _cast_of(name: str) -> Cast | None:
    is_list = name.startswith(("Array(", "Set("))
    return _list_cast(name) if is_list else _CASTS.get(name)


def _cast(cast: Cast, values: Any) -> Any:
    if pa.types.is_dictionary(values.type):
        values = pc.cast(values, values.type.value_type)
    return cast(values)


def _culprit(cast: Cast, values: pa.ChunkedArray) -> object:
    """The first value that cannot be cast."""
    first, last = 0, len(values)
    while last - first > 1:
        middle = (first + last) // 2
        try:
            _cast(cast, values.slice(first, middle - first))
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            last = middle
        else:
            first = middle
    return values.slice(first, 1).to_pylist()[0] if last else None


def _whole(kind: pa.DataType) -> Cast:
    def cast(values: Any) -> Any:
        if pa.types.is_floating(values.type):
            values = _without_nan(values)
        elif not (_is_whole(values.type) or pa.types.is_decimal(values.type)
                  or pa.types.is_boolean(values.type)):
            raise TypeError(f"{values.type} is no whole number")
        if pa.types.is_boolean(values.type):
            values = pc.cast(values, pa.int8())
        return pc.cast(values, kind)

    return cast


def _float(kind: pa.DataType) -> Cast:
    def cast(values: Any) -> Any:
        if values.type == kind:
            return values
        if pa.types.is_boolean(values.type):
            values = pc.cast(values, pa.int8())
        elif not (_is_whole(values.type) or pa.types.is_floating(values.type)
                  or pa.types.is_decimal(values.type) or pa.types.is_null(values.type)):
            raise TypeError(f"{values.type} is no number")
        wide = pc.cast(values, pa.float64())
        if kind == pa.float32():
            size = pc.abs(wide)
            large = pc.and_(pc.is_finite(wide), pc.greater(size, _LARGEST_FLOAT32))
            if pc.any(large).as_py():
                raise OverflowError(f"out of the range of {kind}")
        return pc.cast(wide, kind, safe=False)

    return cast


def _bool(values: Any) -> Any:
    if pa.types.is_boolean(values.type):
        return values
    whole = _whole(pa.int64())(values)
    if not pc.all(pc.is_in(whole.drop_null(), pa.array([0, 1])), min_count=0).as_py():
        raise ValueError("neither true nor false")
    return pc.cast(whole, pa.bool_())


def _seconds(values: Any) -> Any:
    kind = values.type
    if pa.types.is_date(kind):
        values = pc.cast(values, pa.timestamp("s"))
    elif pa.types.is_timestamp(kind):
        values = pc.cast(values, pa.timestamp("s", kind.tz), safe=False)
    return pc.cast(values, pa.int64()) if pa.types.is_timestamp(values.type) else (
        _whole(pa.int64())(values)
    )


def _text(values: Any) -> Any:
    if not (_is_text(values.type) or _is_bytes(values.type) or _is_whole(values.type)):
        raise TypeError(f"{values.type} is no text")
    return pc.cast(values, pa.string())


def _bytes(values: Any) -> Any:
    if not (_is_bytes(values.type) or pa.types.is_null(values.type)):
        raise TypeError(f"{values.type} is no bytes")
    return pc.cast(values, pa.binary())


_CASTS: dict[str, Cast] = {
    "Int32": _whole(pa.int32()), "Int64": _whole(pa.int64()),
    "Float32": _float(pa.float32()), "Float64": _float(pa.float64()),
    "Bool": _bool, "UnixTimestamp": _seconds, "String": _text,
    **dict.fromkeys(_BYTES, _bytes),
}


def _list_cast(name: str) -> Cast | None:
    """Of `Array(Int64)` and its like; None if what is inside is of a kind that is left alone."""
    inner = name[name.index("(") + 1 : -1]
    if inner == "UnixTimestamp":
        # Feast has a number for no instant, which it reads back as None.
        return _require_lists
    cast = _cast_of(inner)
    if cast is None:
        return None
    elements = cast

    def cast_lists(values: Any) -> Any:
        if isinstance(values, pa.ChunkedArray):
            chunks = [cast_lists(chunk) for chunk in values.chunks]
            return pa.chunked_array(chunks) if chunks else values
        values = _require_lists(values)
        if pa.types.is_null(values.type):
            return values
        if not isinstance(values, pa.ListArray):
            values = pc.cast(values, pa.list_(values.type.value_type))
        fitting = _cast(elements, values.flatten())
        if fitting.null_count:
            raise ValueError("a list holds no null")
        sizes = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
        return pa.ListArray.from_arrays(
            pa.array(np.append(0, np.cumsum(sizes)), pa.int32()), fitting,
            mask=pc.is_null(values),
        )

    return cast_lists


def _require_lists(values: Any) -> Any:
    kind = values.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_null(kind)
            or pa.types.is_fixed_size_list(kind)):
        raise TypeError(f"{kind} is no list")
    return values


def _without_nan(values: Any) -> Any:
    return pc.if_else(pc.fill_null(pc.is_nan(values), True), pa.scalar(None, values.type), values)


def _is_whole(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_null(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
                or pa.types.is_fixed_size_binary(kind))
