"""A table's columns, or one event's, as what the engine reads: keys, instants, ids, slots.

A null, a NaN and an infinity are missing values. Whole numbers become float64 and must be exact
as such, texts become their codes where a function takes them; a hash is that of the value's text:
a string as it is, a number in decimal, `true`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ml_assets.core.codes import code_of, codes_of
from ml_assets.core.errors import ContractViolation, DeclarationError, unknown
from ml_assets.features.engine.events import EVERYBODY, Events, entity_key, uid, uids
from ml_assets.features.engine.exact import Floats, Ints
from ml_assets.features.engine.limits import readers_of, require_summable, takes_codes
from ml_assets.features.engine.series import Hashes
from ml_assets.features.engine.state.layout import layout_of
from ml_assets.features.engine.windows import Slot, WindowedView

EXACT = 2**53
"""Whole numbers up to this size are exact as float64."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


def events_of(view: WindowedView, table: pa.Table) -> tuple[Events, list[bytes]]:
    """The rows that are events of an entity, in order of arrival, and each one's entity.

    Rows without an instant or with a missing key are left out. Of events that arrived at once
    (`created`) the one that happened earlier comes first.
    Raises UnknownName for a column that the table lacks, DeclarationError for one whose type
    does not fit and ContractViolation for a value that does not; each names the column.
    """
    owner = f"feature view {view.name!r}"
    at = _column(table, view.timestamp, owner)
    keys = key_column(table, view.keys, owner)
    there = np.array([key is not None for key in keys], dtype=bool) & ~nulls_of(at)
    table = table.filter(pa.array(there))
    at = instants(table[view.timestamp], view.timestamp, owner)
    ids = _column(table, view.event_id, owner)
    if ids.null_count:
        raise ContractViolation(f"{owner}: column {view.event_id!r} is null; "
                                "every event needs an id")
    known = [key for key in keys if key is not None] if there.all() else [
        key for key, is_there in zip(keys, there.tolist(), strict=True)
        if is_there and key is not None
    ]
    codes: dict[bytes, int] = {}
    events = Events(
        entity=np.fromiter(
            (codes.setdefault(key, len(codes)) for key in known), np.int64, len(known)
        ),
        at=at,
        uid=uids(pc.cast(ids, pa.string()).to_pylist()),
        values={slot: slot_column(view, slot, _column(table, slot.column, owner))
                for slot in view.slots},
    )
    order = [at]
    if view.created:
        created = table[view.created]
        if pa.types.is_null(created.type):
            created = pc.cast(created, pa.timestamp("us", tz="UTC"))
        order.append(np.where(
            nulls_of(created), -(2**62),
            instants(pc.fill_null(created, _EPOCH), view.created, owner),
        ))
    places = np.lexsort(order)
    return events.take(places), [known[place] for place in places.tolist()]


def key_column(table: pa.Table, keys: Sequence[str], owner: str) -> list[bytes | None]:
    """For each row what `entity_key` makes of its `keys`."""
    if not keys:
        return [EVERYBODY] * len(table)
    columns = []
    for name in keys:
        column = _plain(_column(table, name, owner))
        kind = column.type
        if pa.types.is_floating(kind):
            column = _whole(column, f"{owner}: key {name!r}")
        elif not (_is_text(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
                  or pa.types.is_binary(kind) or pa.types.is_null(kind)
                  or (pa.types.is_decimal(kind) and kind.scale == 0)):
            raise DeclarationError(
                f"{owner}: key {name!r} is {kind}; expected a text or a whole number"
            )
        columns.append(column.to_pylist())
    if len(columns) == 1 and _is_text(_plain(table[keys[0]]).type):
        return [text.encode() if text else None for text in columns[0]]
    return [entity_key(values) for values in zip(*columns, strict=True)]


def instants(column: pa.ChunkedArray, name: str, owner: str) -> Ints:
    """Microseconds since 1970 of a column without nulls; without a zone it is UTC."""
    if pa.types.is_null(column.type):  # of a table whose rows have none
        return np.empty(0, dtype=np.int64)
    if not (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)):
        raise DeclarationError(f"{owner}: column {name!r} is {column.type}; expected a timestamp")
    micros = pc.cast(column, pa.timestamp("us", tz=getattr(column.type, "tz", None)), safe=False)
    return _numpy(pc.cast(micros, pa.int64())).astype(np.int64)


def slot_column(
    view: WindowedView, slot: Slot, column: pa.ChunkedArray
) -> Floats | Hashes:
    """One value for each row, in the slot's form."""
    column = _plain(column)
    place = _place(view, slot)
    if slot.form == "hash":
        return _hashes(place, column)
    if slot.form == "rows":
        there = ~nulls_of(column)
        if pa.types.is_floating(column.type):
            there &= np.isfinite(_floats(column))
        return np.where(there, 1.0, np.nan)
    return _numbers(view, slot, place, column)


def event_values(view: WindowedView, event: Mapping[str, object]) -> list[float]:
    """What `slot_column` would give for one event, for each of `view.slots`."""
    values = []
    for kept in layout_of(view).kept:
        if kept.item >= 0:
            slot, value = kept.slot, event.get(kept.slot.column)
            # Nearly all are numbers that need no closer look.
            if type(value) is not float or slot.form != "number" or not abs(value) < kept.limit:
                value = _event_value(view, slot, kept.limit, value)
            values.append(value)
    return values


def instant(value: object, name: str, owner: str) -> int:
    """Microseconds since 1970 of an aware datetime, or of an int that is just that."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return (value - _EPOCH) // _US
    if isinstance(value, int):
        return value
    raise ContractViolation(f"{owner}: {name!r} is {value!r:.80}; expected an aware datetime")


def _event_value(view: WindowedView, slot: Slot, limit: float, value: object) -> float:
    there = math.isfinite(value) if isinstance(value, float) else value is not None
    if slot.form == "rows":
        return 1.0 if there else math.nan
    if slot.form == "number":
        if not there:
            return math.nan
        if isinstance(value, int) and abs(value) > EXACT:
            raise _inexact(_place(view, slot), value)
        if isinstance(value, str) and takes_codes(view, slot):
            return float(code_of(value))
        if not isinstance(value, float | int):
            raise ContractViolation(
                f"{_place(view, slot)} has the value {value!r:.80}; expected a number"
            )
        if abs(value) >= limit:
            require_summable(view, slot, np.array([float(value)]))
        return float(value)
    if isinstance(value, bool):
        value = "true" if value else "false"
    if value is None:
        return 0
    if not isinstance(value, str | int):
        raise _unhashable(_place(view, slot), type(value).__name__)
    return uid(str(value)) or 1


def nulls_of(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    return _numpy(pc.is_null(column)).astype(bool)


def _column(table: pa.Table, name: str, owner: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise unknown("column", name, table.column_names, f"It is read for {owner}.")
    return table[name]


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        return pc.cast(column, column.type.value_type)
    return column


def _whole(column: pa.ChunkedArray, owner: str) -> pa.ChunkedArray:
    """Ids that pandas turned into floats, because some are missing, as whole numbers again."""
    values = _floats(column)
    missing = np.isnan(values)
    wrong = ~missing & ~((values == np.trunc(values)) & (np.abs(values) <= EXACT))
    if wrong.any():
        raise ContractViolation(
            f"{owner} has the value {values[wrong][0]}; expected a whole number of at most 2**53 "
            f"in size, as several ids share a {column.type} beyond it: write it as an integer or "
            "a text"
        )
    whole = np.where(missing, 0, values).astype(np.int64)
    return pa.chunked_array([pa.array(whole, mask=missing)])


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _floats(column: pa.ChunkedArray) -> Floats:
    return _numpy(pc.cast(column, pa.float64(), safe=False)).astype(np.float64)


def _numpy(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = column.to_numpy()
    return found


def _numbers(
    view: WindowedView, slot: Slot, place: str, column: pa.ChunkedArray
) -> Floats:
    kind = column.type
    if _is_text(kind) and takes_codes(view, slot):
        return codes_of(column.to_pylist())
    if pa.types.is_integer(kind):
        there = column.drop_null()
        for value in (pc.min(there).as_py(), pc.max(there).as_py()) if len(there) else ():
            if abs(value) > EXACT:
                raise _inexact(place, value)
    elif not (pa.types.is_floating(kind) or pa.types.is_boolean(kind)
              or pa.types.is_decimal(kind) or pa.types.is_null(kind)):
        raise DeclarationError(f"{place} is {kind}; {readers_of(view, slot)} needs numbers")
    if pa.types.is_boolean(kind):
        column = pc.cast(column, pa.int8())
    values = _floats(column)
    values = np.where(np.isfinite(values), values, np.nan)
    require_summable(view, slot, values)
    return values


def _hashes(place: str, column: pa.ChunkedArray) -> Hashes:
    kind = column.type
    if not (_is_text(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
            or pa.types.is_null(kind)):
        raise _unhashable(place, str(kind))
    # Each distinct value is hashed once.
    encoded = pc.dictionary_encode(pc.cast(column, pa.string())).combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0) if encoded.num_chunks else pa.DictionaryArray.from_arrays(
            pa.array([], pa.int32()), pa.array([], pa.string()))
    texts = encoded.dictionary.to_pylist()
    hashes = np.append(np.maximum(uids(texts), np.uint64(1)), np.uint64(0))
    places = _numpy(pc.fill_null(encoded.indices, len(texts)))
    found: Hashes = hashes[places]
    return found


def _place(view: WindowedView, slot: Slot) -> str:
    return f"feature view {view.name!r}: column {slot.column!r}"


def _unhashable(place: str, kind: str) -> DeclarationError:
    return DeclarationError(
        f"{place} is {kind}; counting distinct values needs texts, whole numbers or booleans"
    )


def _inexact(place: str, value: int) -> ContractViolation:
    return ContractViolation(f"{place} has the value {value}; expected at most 2**53 in size")
