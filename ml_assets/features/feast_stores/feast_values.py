"""Between the packed bytes of the online store and Feast's protobuf values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import (
    DoubleList,
    FloatList,
    Int32List,
    Int64List,
    Value,
)
from feast.type_map import python_values_to_proto_values

from ml_assets.core.errors import ContractViolation
from ml_assets.features.engine.events import entity_key
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import ONLY_ROW, View
from ml_assets.features.online_store.counting import packed_payloads
from ml_assets.features.online_store.values import fitted, refused
from ml_assets.features.online_store.versions import Column, PlainView, unpack_payload

_NAMES = {
    "Float32": "float_val", "Float64": "double_val", "Int32": "int32_val", "Int64": "int64_val",
    "Bool": "bool_val", "UnixTimestamp": "unix_timestamp_val", "String": "string_val",
    "Bytes": "bytes_val",
}
_LISTS: dict[str, tuple[str, Any]] = {
    "Array(Float32)": ("float_list_val", FloatList), "Array(Int32)": ("int32_list_val", Int32List),
    "Array(Float64)": ("double_list_val", DoubleList),
    "Array(Int64)": ("int64_list_val", Int64List),
}
_LIST_NAMES = {
    f"{outer}({inner})": f"{name.removesuffix('_val')}_{word}_val"
    for outer, word in (("Array", "list"), ("Set", "set")) for inner, name in _NAMES.items()
}
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
_made: Any = Value
"""Makes a value of a field whose name is only known here; the stub knows no such call."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


def key_of(view: View, key: Mapping[str, Value]) -> bytes | None:
    """What names the entity in the store; None if a key is missing. `key` is by join key."""
    if not view.keys:
        return ONLY_ROW
    return entity_key([plain_value(key[name]) if name in key else None for name in view.keys])


def key_of_entity(view: View, key: EntityKey) -> bytes | None:
    """The same of Feast's entity key."""
    return key_of(view, dict(zip(key.join_keys, key.entity_values, strict=True)))


def plain_value(value: Value) -> Any:
    """What is in a protobuf value; None if nothing is."""
    which = value.WhichOneof("val")
    return None if which is None else getattr(value, which)


def micros(instant: datetime) -> int:
    """Since 1970; an instant without a zone is UTC, as Feast has it."""
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _US


def instant_of(at: int) -> datetime:
    return _EPOCH + at * _US


def payloads_of_values(view: PlainView, rows: Sequence[Mapping[str, Value]]) -> list[bytes]:
    """Each row's features as a payload; one that a row lacks is null.

    Raises ContractViolation for a value that is none of the declared type, see `values`.
    """
    nothing = Value()
    columns = {each.name: [row.get(each.name, nothing) for row in rows] for each in view.columns}
    return packed_payloads(view, len(rows), {
        each.name: _plain_column(view, each, columns[each.name]) if each.type in _NAMES
        else _serialised(view, each, columns[each.name])
        for each in view.columns
    }, lambda _, values: [value or b"" for value in values.to_pylist()])


def values_of_payload(
    view: PlainView, payload: bytes, names: frozenset[str]
) -> dict[str, Value]:
    """The features `names`, a null one as an empty value."""
    numbers, texts = unpack_payload(view, payload)
    values = {
        each.name: Value() if value is None else _made(**{_NAMES[each.type]: value})
        for each, value in zip(view.numbers, numbers, strict=True) if each.name in names
    }
    for each, text in zip(view.texts, texts, strict=True):
        if each.name not in names:
            continue
        if text is None:
            values[each.name] = Value()
        elif each.type == "String":
            values[each.name] = Value(string_val=text.decode())
        elif each.type == "Bytes":
            values[each.name] = Value(bytes_val=text)
        else:
            values[each.name] = Value.FromString(text)
    return values


def values_of_windows(
    view: WindowedView, types: Mapping[str, str], row: Sequence[float]
) -> dict[str, Value]:
    """The aggregates that `types` names, each as the type that it names.

    row: the view's columns. What has no value is null; a `last_n` has those that there are.
    Raises ContractViolation if a number does not fit its type.
    """
    values, first = {}, 0
    for each in view.aggregates:
        numbers: list[float] = [
            number for number in row[first : first + len(each.columns)] if not math.isnan(number)
        ]
        first += len(each.columns)
        kind = types.get(each.name)
        if kind is None:
            continue
        numbers = [_fitting(view, each.name, kind, number) for number in numbers]
        if kind in _LISTS:
            field, list_of = _LISTS[kind]
            values[each.name] = _made(**{field: list_of(val=numbers)})
        else:
            values[each.name] = _made(**{_NAMES[kind]: numbers[0]}) if numbers else Value()
    return values


def encoded(
    view: str, dtypes: Mapping[str, Any], column: Column, values: pa.ChunkedArray
) -> list[bytes]:
    """Values of any of Feast's types as protobuf. `dtypes` are the features', by name.

    Raises ContractViolation, naming the value that Feast cannot convert.
    """
    dtype, plain = dtypes[column.name].to_value_type(), values.to_pylist()
    try:
        protos = python_values_to_proto_values(plain, dtype)
    except Exception as error:  # Feast raises of all kinds, also bare ones
        for value in plain:
            try:
                python_values_to_proto_values([value], dtype)
            except Exception as said:
                raise refused(view, column, value, said) from None
        raise refused(view, column, plain, error) from None
    return [proto.SerializeToString() for proto in protos]


def _serialised(view: PlainView, column: Column, values: Sequence[Value]) -> pa.ChunkedArray:
    expected = _LIST_NAMES.get(column.type)
    for value in values:
        which = value.WhichOneof("val")
        if expected is not None and which not in (None, expected):
            raise refused(view.name, column, plain_value(value), TypeError(f"it is {which}"))
    # An empty value has no bytes: null as soon as Feast reads it back.
    return pa.chunked_array([pa.array(
        [value.SerializeToString() for value in values], pa.binary(),
        mask=np.array([value.WhichOneof("val") is None for value in values], dtype=bool),
    )])


def _plain_column(view: PlainView, column: Column, values: Sequence[Value]) -> pa.ChunkedArray:
    plain = [plain_value(value) for value in values]
    try:
        array = pa.chunked_array([pa.array(plain)])
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise refused(view.name, column, plain, error) from None
    return fitted(view.name, column, array)


def _fitting(view: WindowedView, name: str, kind: str, number: float) -> float | int:
    """`number` as `kind`, such as `Int32`."""
    if "Int" in kind:
        bits = 31 if "Int32" in kind else 63
        if not math.isfinite(number) or number != int(number) or abs(number) >= 2**bits:
            raise ContractViolation(
                f"feature view {view.name!r}: field {name!r} is declared as {kind} and has the "
                f"value {number!r}; declare it as Float64"
            )
        return int(number)
    if "Float32" in kind and math.isfinite(number) and abs(number) > _LARGEST_FLOAT32:
        raise ContractViolation(
            f"feature view {view.name!r}: field {name!r} is declared as {kind} and has the value "
            f"{number!r}, which overflows; declare it as Float64"
        )
    return number
