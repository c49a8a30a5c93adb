"""What a value of a file or a database is in the JSON that a client would have posted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ml_assets.core.data.columns import Column, Dtype
from ml_assets.core.texts import shown

if TYPE_CHECKING:
    import pyarrow as pa

YES = frozenset({"true", "t", "yes", "y", "1"})
NO = frozenset({"false", "f", "no", "n", "0"})
"""How files spell booleans, in any case."""


PLAIN: Mapping[Dtype, str] = {
    "text": "string", "category": "string", "number": "double", "integer": "int64",
    "boolean": "bool",
}
"""The type of Arrow whose values are those of JSON."""


class WithoutZone(ValueError):
    """An instant says a time of day but not where."""


class SourceClock:
    """How a source writes instants.

    zone: of those that name none, as in "Europe/Berlin"; "" if each names its own. Of an hour
        that happens twice, when clocks are put back, the first is meant
    layout: as for `strptime`; "" for ISO 8601
    """

    def __init__(self, zone: str = "", layout: str = "") -> None:
        self._zone = ZoneInfo(zone) if zone else None
        self._read: Callable[[str], datetime] = (
            (lambda text: datetime.strptime(text, layout))  # noqa: DTZ007 (see `instant`)
            if layout else datetime.fromisoformat)

    def instant(self, value: object) -> datetime:
        """`value`, a datetime, a day or a text, as aware UTC.

        Raises WithoutZone, or ValueError if it is no instant.
        """
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
        return _VALUES[dtype](cell, clock)
    except (ValueError, OverflowError):
        return cell if isinstance(cell, str | int | float | bool) else str(cell)


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


def _text(cell: object, clock: SourceClock) -> object:
    if isinstance(cell, date):
        return cell.isoformat()
    return cell if isinstance(cell, str) else str(cell)


def _number(cell: object, clock: SourceClock) -> object:
    if isinstance(cell, bool) or not isinstance(cell, str | int | float | Decimal):
        return cell
    return float(cell)


def _integer(cell: object, clock: SourceClock) -> object:
    if isinstance(cell, float | Decimal):
        return int(cell) if cell == int(cell) else float(cell)
    return int(cell) if isinstance(cell, str) else cell


def _boolean(cell: object, clock: SourceClock) -> object:
    word = str(cell).strip().lower()
    return True if word in YES else False if word in NO else cell


def _instant(cell: object, clock: SourceClock) -> object:
    return clock.instant(cell).isoformat()


_VALUES: dict[Dtype, Callable[[object, SourceClock], object]] = {
    "text": _text, "category": _text, "number": _number, "integer": _integer,
    "boolean": _boolean, "instant": _instant,
}
