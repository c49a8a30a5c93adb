"""Reports kept by day: one JSON file each, replaced whole, read back as the dataclass it was."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Generic, Protocol, TypeVar, get_args, get_origin, get_type_hints

from ml_assets.core.errors import ContractViolation
from ml_assets.core.storage.files import write_atomically
from ml_assets.core.storage.mounts import current, listed


class DailyReport(Protocol):
    """A frozen dataclass of plain values about one day."""

    @property
    def day(self) -> date: ...


R = TypeVar("R", bound=DailyReport)


class DailyReports(Generic[R]):
    """`<folder>/<day>.json`, for reports of one kind."""

    def __init__(self, folder: Path, kind: type[R]) -> None:
        self.folder = folder
        self.kind = kind

    def write(self, report: R) -> Path:
        """Replace the report of its day."""
        path = self._path(report.day)
        text = json.dumps(encode(report), indent=1, allow_nan=False)
        write_atomically(path, text.encode(), durable=False)
        return path

    def read(self, day: date) -> R | None:
        """The report of `day`, None if there is none.

        Raises ContractViolation if the file is no report of this kind.
        """
        path = current(self._path(day))
        if not path.exists():
            return None
        try:
            return decode(self.kind, json.loads(path.read_text()))  # type: ignore[no-any-return]
        except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
            raise ContractViolation(
                f"{path} is no {self.kind.__name__}: {error!r}. Materialise the day again."
            ) from error

    def days(self) -> list[date]:
        """The days that have a report, in order."""
        return sorted(date.fromisoformat(path.stem) for path in listed(self.folder, "[0-9]*.json"))

    def latest(self) -> R | None:
        """The report of the latest day, None if there is none."""
        days = self.days()
        return self.read(days[-1]) if days else None

    def between(self, start: date, end: date) -> Iterator[R]:
        """The reports of the days in `[start, end)`, in order."""
        for day in self.days():
            report = self.read(day) if start <= day < end else None
            if report is not None:
                yield report

    def _path(self, day: date) -> Path:
        return self.folder / f"{day.isoformat()}.json"


def encode(value: Any) -> Any:
    """JSON of dataclasses, tuples, dicts, instants, days and plain values; NaN becomes null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {name: encode(item) for name, item in value.items()}
    if isinstance(value, date):  # an instant is a date too
        return value.isoformat()
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


@cache
def _hints(kind: type) -> dict[str, Any]:
    """The types of a dataclass's fields; looking them up costs more than all else here."""
    return get_type_hints(kind)


def decode(kind: Any, value: Any) -> Any:
    """The inverse of `encode` for a value of type `kind`."""
    if isinstance(kind, type) and is_dataclass(kind):
        hints = _hints(kind)
        # A field with a default may have come after the report was written.
        return kind(**{field.name: decode(hints[field.name], value[field.name])
                       for field in fields(kind)
                       if field.name in value
                       or (field.default is MISSING and field.default_factory is MISSING)})
    if get_origin(kind) is tuple:
        item, _ = get_args(kind)
        return tuple(decode(item, element) for element in value)
    if get_origin(kind) is dict:
        _, item = get_args(kind)
        return {name: decode(item, element) for name, element in value.items()}
    if isinstance(kind, UnionType):
        present = next(part for part in get_args(kind) if part is not type(None))
        return None if value is None else decode(present, value)
    if kind is datetime or kind is date:
        return kind.fromisoformat(value)
    if kind is float:
        return math.nan if value is None else float(value)
    return value
