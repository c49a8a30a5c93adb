"""What a value of a file or a database is in the JSON that a client would have posted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

from ml_assets.core.data.columns import Column, Dtype
from ml_assets.core.texts import shown

if TYPE_CHECKING:
    import pyarrow as pa

YES = frozenset({"true", "t", "yes", "y", "1"})
NO = frozenset({"false", "f", "no", "n", "0"})
"""How files spell booleans, in any case."""
EXACT = 2**53
"""Whole numbers up to this size are float64 as they are, and so are their texts."""

PLAIN: Mapping[Dtype, str] = {
    "text": "string", "category": "string", "number": "double", "integer": "int64",
    "boolean": "bool",
}
"""The type of Arrow whose values are those of JSON."""


SINCE_1970 = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000}
"""Layouts of instants that are numbers: how many of each make a second."""
EPOCH, FURTHEST = datetime(1970, 1, 1, tzinfo=UTC), 10**18


class WithoutZone(ValueError):
    """An instant says a time of day but not where."""


class SourceClock:
    """How a source writes instants.

    zone: of those that name none, as in "Europe/Berlin"; "" if each names its own. Of an hour
        that happens twice, when clocks are put back, the first is meant
    layout: as for `strptime`; "" for ISO 8601; "seconds", "milliseconds" or "microseconds" for
        numbers that count them since 1970 UTC
    """

    def __init__(self, zone: str = "", layout: str = "") -> None:
        self._a_second = SINCE_1970.get(layout, 0)
        self._zone = ZoneInfo(zone) if zone else None
        self._read: Callable[[str], datetime] = (
            (lambda text: datetime.strptime(text, layout))  # noqa: DTZ007 (see `instant`)
            if layout else datetime.fromisoformat)

    def instant(self, value: object) -> datetime:
        """`value`, a datetime, a day or a text, as aware UTC.

        Raises WithoutZone, or ValueError if it is no instant.
        """
        if self._a_second and isinstance(value, str | int | float) and not isinstance(value, bool):
            return _since_1970(value, self._a_second)
        if isinstance(value, str):
            value = self._read(value)
        elif isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)  # noqa: DTZ001
        if not isinstance(value, datetime):
            raise ValueError(f"{shown(value)} is no instant")
        if value.tzinfo is None:
            if self._zone is None:
                raise WithoutZone(value.isoformat())
            value = value.replace(tzinfo=self._zone)
        return value.astimezone(UTC)


def _since_1970(count: str | float, a_second: int) -> datetime:
    """Raises ValueError if it is no number, or none that can be an instant."""
    try:
        counted = Decimal(count)
        if not abs(counted) < FURTHEST:
            raise ValueError(f"{shown(count)} is too far from 1970")
        return EPOCH + timedelta(microseconds=round(counted * 1_000_000 / a_second))
    except ArithmeticError:
        raise ValueError(f"{shown(count)} is no number of them") from None


@lru_cache
def clock(zone: str, layout: str) -> SourceClock:
    return SourceClock(zone, layout)


def posted(column: Column, cell: object, clock: SourceClock) -> object:
    """A cell as JSON holds a value of `column`; what cannot be one is left for its contract."""
    if column.many and isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except ValueError:
            return cell
    if column.many and isinstance(cell, list):
        return [value_of(each, column.dtype, clock) for each in cell]
    return value_of(cell, column.dtype, clock)


def value_of(cell: object, dtype: Dtype, clock: SourceClock) -> object:
    """The same for one value. None and NaN are missing."""
    if cell is None or cell != cell:
        return None
    try:
        return _VALUES[dtype](cell.decode() if isinstance(cell, bytes) else cell, clock)
    except (ValueError, OverflowError):
        return _no_value(cell, dtype)


def _no_value(cell: object, dtype: Dtype) -> object:
    """What is none of `dtype` as JSON that is none either, so that its contract shows it."""
    if isinstance(cell, str | int | float | bool):
        return cell
    if isinstance(cell, list | dict):
        return json.loads(json.dumps(cell, default=str))
    return {type(cell).__name__: str(cell)} if dtype in ("text", "category") else str(cell)


def posted_of(column: Column, cells: pa.Array, clock: SourceClock) -> list[object]:
    """`posted` of each cell of a column."""
    if not column.many:
        return values_of(cells, column.dtype, clock)
    return [posted(column, cell, clock) for cell in cells.to_pylist()]


def values_of(cells: pa.Array, dtype: Dtype, clock: SourceClock) -> list[object]:
    """`value_of` each cell of a column; most hold what JSON does, and are taken as they are."""
    import pyarrow as pa

    values: list[object] = cells.to_pylist()
    if PLAIN.get(dtype) != str(cells.type):
        return [value_of(value, dtype, clock) for value in values]
    if pa.types.is_floating(cells.type):
        return [None if value != value else value for value in values]
    return values


def text_of(cell: object) -> str:
    """A cell as a client would write it in a text, or as the name of something.

    Bytes are UTF-8. A whole number is written as one, whatever its type: a column of ids becomes
    one of floats as soon as pandas misses one of them.
    Raises ValueError for what has no such text: lists, structs, durations, other bytes.
    """
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bytes):
        return cell.decode()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) <= EXACT:
        return str(int(cell))
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, bool | int | float | Decimal | UUID):
        return str(cell)
    raise ValueError(f"{shown(cell)} is no text")


def _text(cell: object, clock: SourceClock) -> object:
    return text_of(cell)


def _number(cell: object, clock: SourceClock) -> object:
    """What no float64 holds exactly stays whole, as in JSON, and its contract says so."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float | Decimal):
        raise ValueError(f"{shown(cell)} is no number")
    value = float(cell)
    if isinstance(cell, float) or abs(value) < EXACT or not value.is_integer():
        return value
    try:
        return int(cell)
    except ValueError:  # a text such as 1e20
        return value


def _integer(cell: object, clock: SourceClock) -> object:
    if isinstance(cell, float | Decimal):
        return int(cell) if cell == int(cell) else float(cell)
    if isinstance(cell, bool) or not isinstance(cell, str | int):
        raise ValueError(f"{shown(cell)} is no number")
    return int(cell)


def _boolean(cell: object, clock: SourceClock) -> object:
    word = text_of(cell).strip().lower()
    return True if word in YES else False if word in NO else cell


def _instant(cell: object, clock: SourceClock) -> object:
    return clock.instant(cell).isoformat()


_VALUES: dict[Dtype, Callable[[object, SourceClock], object]] = {
    "text": _text, "category": _text, "number": _number, "integer": _integer,
    "boolean": _boolean, "instant": _instant,
}
