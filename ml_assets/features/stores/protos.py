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
from ml_assets.features.stores.backend import ALONE, View
from ml_assets.features.stores.plain import Column, PlainView, pack_payloads, unpack_payload

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
_made: Any = Value
"""Makes a value of a field whose name is only known here; the stub knows no such call."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


def key_of(view: View, key: EntityKey) -> bytes | None:
    """What names the entity in the store; None where a key is missing."""
    if not view.keys:
        return ALONE
    values = dict(zip(key.join_keys, map(plain_value, key.entity_values), strict=True))
    return entity_key([values.get(name) for name in view.keys])


def plain_value(value: Value) -> Any:
    """What is in a protobuf value; None where nothing is."""
    which = value.WhichOneof("val")
    return None if which is None else getattr(value, which)


def micros(instant: datetime) -> int:
    """Since 1970; an instant without a zone is UTC, as Feast has it."""
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _US


def instant_of(at: int) -> datetime:
    return _EPOCH + at * _US


def payloads_of_values(view: PlainView, rows: Sequence[Mapping[str, Value]]) -> list[bytes]:
    """Each row's features as a payload; one that a row lacks is null."""
    found = {
        each.name: [plain_value(row[each.name]) if each.name in row else None for row in rows]
        for each in view.columns
    }
    nulls = np.array(
        [[value is None for value in found[each.name]] for each in (*view.numbers, *view.texts)],
        dtype=bool,
    ).reshape(len(view.columns), len(rows)).T
    numbers = [
        np.array([0 if value is None else value for value in found[each.name]])
        for each in view.numbers
    ]
    texts = [
        [_text(each, row[each.name]) if each.name in row else b"" for row in rows]
        for each in view.texts
    ]
    return pack_payloads(view, numbers, nulls, texts)


def values_of_payload(
    view: PlainView, payload: bytes, wanted: frozenset[str]
) -> dict[str, Value]:
    """The wanted features, a null one as an empty value."""
    numbers, texts = unpack_payload(view, payload)
    found = {
        each.name: Value() if value is None else _made(**{_NAMES[each.type]: value})
        for each, value in zip(view.numbers, numbers, strict=True) if each.name in wanted
    }
    for each, text in zip(view.texts, texts, strict=True):
        if each.name not in wanted:
            continue
        if text is None:
            found[each.name] = Value()
        elif each.type == "String":
            found[each.name] = Value(string_val=text.decode())
        elif each.type == "Bytes":
            found[each.name] = Value(bytes_val=text)
        else:
            found[each.name] = Value.FromString(text)
    return found


def values_of_windows(
    view: WindowedView, types: Mapping[str, str], row: Sequence[float]
) -> dict[str, Value]:
    """The aggregates that `types` names, each as the type that it names.

    row: the view's columns. What has no value is null; a `last_n` has those that there are.
    Raises ContractViolation where a number does not fit its type.
    """
    found, place = {}, 0
    for each in view.aggregates:
        numbers: list[float] = [
            number for number in row[place : place + len(each.columns)] if not math.isnan(number)
        ]
        place += len(each.columns)
        kind = types.get(each.name)
        if kind is None:
            continue
        if "Int" in kind:
            numbers = [_whole(view, each.name, number) for number in numbers]
        if kind in _LISTS:
            name, list_of = _LISTS[kind]
            found[each.name] = _made(**{name: list_of(val=numbers)})
        else:
            found[each.name] = _made(**{_NAMES[kind]: numbers[0]}) if numbers else Value()
    return found


def encoded(dtypes: Mapping[str, Any], column: Column, values: pa.ChunkedArray) -> list[bytes]:
    """Values of any of Feast's types as protobuf. `dtypes` are the features', by name."""
    protos = python_values_to_proto_values(values.to_pylist(), dtypes[column.name].to_value_type())
    return [proto.SerializeToString() for proto in protos]


def _text(column: Column, value: Value) -> bytes:
    if column.type in ("String", "Bytes"):
        text = plain_value(value)
        return text.encode() if isinstance(text, str) else text or b""
    serialised: bytes = value.SerializeToString()
    return serialised


def _whole(view: WindowedView, name: str, number: float) -> int:
    if number != int(number):
        raise ContractViolation(
            f"feature view {view.name!r}: field {name!r} is declared as a whole number and has "
            f"the value {number!r}; declare it as Float64"
        )
    return int(number)
