"""One value of a column: what the data contract lets in, and what it becomes.

The door, the lake and the tables all ask `taken`, so what one of them accepts, the others do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import numpy as np

from ml_assets.core.data.columns import LONGEST_LIST, Column, Dtype
from ml_assets.core.declaration import closest, listed
from ml_assets.core.errors import InvalidRequest, Quarantined
from ml_assets.core.texts import KEY_LENGTH, name_fault, shown, text_fault
from ml_assets.core.time import declared_instant

LARGEST = float.fromhex("0x1.fffffep+127")
"""The largest number that a feature can be: they are float32. Beyond it a model makes no
probability of a number, so that one hostile request would make a challenger look broken."""

WIDEST = 2**63
"""An integer is at least `-WIDEST` and less than `WIDEST`."""


def is_missing(value: object) -> bool:
    """None, NaN, and what pandas writes for a missing instant."""
    return value is None or (isinstance(value, float | datetime) and value != value)


def taken(column: Column, value: object, *, is_key: bool = False) -> object:
    """`value` as rows hold it. Raises Quarantined, naming the column and the value.

    is_key: whether it names an entity; a text is then a name of `core.texts`

    A missing value is None, and only an optional column has it. A number is a float: an int that
    is exact as one becomes it. An instant is an aware datetime, or the text of one in ISO 8601.
    A list is as it is, with every value taken; none of them may be missing.
    """
    if is_missing(value):
        if column.optional:
            return None
        expected = f"a list of values, each {_EXPECTED[column.dtype]}" if column.many else (
            _EXPECTED[column.dtype])
        raise Quarantined(f"{column.name} is {shown(value)}; expected {expected}")
    if not column.many:
        return _TAKEN[column.dtype](column, _plain(value), is_key)
    if isinstance(value, np.ndarray):
        value = list(value)
    if not isinstance(value, list | tuple):
        raise Quarantined(f"{column.name} is {shown(value)}; expected a list of values, each "
                          f"{_EXPECTED[column.dtype]}")
    if len(value) > LONGEST_LIST:
        raise Quarantined(f"{column.name} has {len(value):,} values; expected at most "
                          f"{LONGEST_LIST:,}")
    if column.length is not None and len(value) != column.length:
        raise Quarantined(f"{column.name} has {len(value):,} values; expected {column.length:,}")
    take = _TAKEN[column.dtype]
    try:
        return [take(column, _plain(each), is_key) for each in value]
    except Quarantined as error:
        raise Quarantined(f"one of {error}") from None


def breach_of(column: Column, value: object, *, is_key: bool = False) -> str | None:
    """How `value` breaks the contract of one column; None if it keeps it. See `taken`."""
    try:
        taken(column, value, is_key=is_key)
    except Quarantined as error:
        return str(error)
    return None


def event_of(
    columns: tuple[Column, ...], keys: frozenset[str], row: Mapping[str, object]
) -> dict[str, object]:
    """A row with the value of every column taken, and whatever else it has as it is.

    keys: the columns that name entities. Raises Quarantined at the first column that breaks the
    contract.
    """
    return {**row, **{
        column.name: taken(column, row.get(column.name), is_key=column.name in keys)
        for column in columns
    }}


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value


def _wrong(column: Column, value: object) -> Quarantined:
    return Quarantined(f"{column.name} is {shown(value)}; expected {_EXPECTED[column.dtype]}")


def _number(column: Column, value: object, is_key: bool) -> float:
    if isinstance(value, int) and not isinstance(value, bool):
        return _of_whole(column, value)
    if not isinstance(value, float) or value != value:
        raise _wrong(column, value)
    _require_bounds(column, value)
    if abs(value) > LARGEST:
        raise Quarantined(f"{column.name} is {value:g}; expected at most {LARGEST:g} in size, the "
                          "largest number that a feature can be")
    return value


def _of_whole(column: Column, value: int) -> float:
    if abs(value) <= 2**53:
        return _number(column, float(value), False)
    try:
        if int(float(value)) == value:
            return _number(column, float(value), False)
    except OverflowError:
        pass
    raise Quarantined(f"{column.name} is {shown(value)}, which no float64 holds exactly; expected "
                      "a number that one does, or declare the column an integer")


def _integer(column: Column, value: object, is_key: bool) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(column, value)
    if not -WIDEST <= value < WIDEST:
        raise Quarantined(f"{column.name} is {shown(value)}; expected an integer of 64 bits")
    _require_bounds(column, value)
    return value


def _require_bounds(column: Column, value: float) -> None:
    if column.minimum is not None and value < column.minimum:
        raise Quarantined(f"{column.name} is {value:g}; expected at least {column.minimum:g}")
    if column.maximum is not None and value > column.maximum:
        raise Quarantined(f"{column.name} is {value:g}; expected at most {column.maximum:g}")


def _text(column: Column, value: object, is_key: bool) -> str:
    if not isinstance(value, str):
        raise _wrong(column, value)
    named = is_key or column.dtype == "category"
    fault = name_fault(value, KEY_LENGTH) if named else text_fault(value)
    if fault is not None:
        raise Quarantined(f"{column.name}: {fault}")
    if column.max_length is not None and len(value) > column.max_length:
        raise Quarantined(f"{column.name} has {len(value):,} characters; expected at most "
                          f"{column.max_length:,}")
    return value


def _category(column: Column, value: object, is_key: bool) -> str:
    found = _text(column, value, is_key)
    if column.values is not None and found not in column.values:
        raise Quarantined(f"{column.name} is {shown(value)}; expected {listed(column.values)}."
                          f"{closest(value, column.values)}")
    return found


def _boolean(column: Column, value: object, is_key: bool) -> bool:
    if not isinstance(value, bool):
        raise _wrong(column, value)
    return value


def _instant(column: Column, value: object, is_key: bool) -> datetime:
    at = value
    if isinstance(value, str):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            raise _wrong(column, value) from None
    if not isinstance(at, datetime):
        raise _wrong(column, value)
    try:
        return declared_instant(at)
    except InvalidRequest as error:
        raise Quarantined(f"{column.name}: {error}") from None


_TAKEN: Mapping[Dtype, Callable[[Column, object, bool], Any]] = {
    "text": _text, "number": _number, "integer": _integer, "category": _category,
    "boolean": _boolean, "instant": _instant,
}
_EXPECTED: Mapping[Dtype, str] = {
    "text": "a text", "number": "a number", "integer": "an integer", "category": "a text",
    "boolean": "true or false", "instant": "an instant with a time zone, in ISO 8601",
}
