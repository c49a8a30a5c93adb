"""Views and events for the tests of the online stores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ml_assets.features.engine.functions import FUNCTIONS, parse_function
from ml_assets.features.engine.windows import Aggregate, WindowedView
from ml_assets.features.online_store.backend import Backend, Row, View, digest_of
from ml_assets.features.online_store.counting import event_row
from tests.features.engine.reference import ARGUMENTS, Record

_COLUMNS = {"rows": "", "number": "amount", "hash": "shop"}


def windowed(
    *aggregates: tuple[str, str, int, int], lateness: int = 0, name: str = "shopping",
    refresh: str = "stream", created: str = "",
) -> WindowedView:
    """A view of (function, column, window, slide) aggregates of a customer's events."""
    return WindowedView(
        name=name, keys=("customer",), timestamp="known_at", lateness=lateness, created=created,
        refresh="slide" if refresh == "slide" else "stream",
        aggregates=tuple(
            Aggregate(name=f"f{place}", function=parse_function(text, "a test"), column=column,
                      window=window, slide=slide)
            for place, (text, column, window, slide) in enumerate(aggregates)
        ),
    )


EVERYTHING = windowed(
    *((f"{name}{ARGUMENTS[name][0] if function.parameters else ''}".replace(",)", ")"),
       _COLUMNS[function.reads], 12, 3) for name, function in FUNCTIONS.items()),
    ("sum", "amount", 4, 1), ("count", "amount", 6, 6), ("last_n(2)", "pages", 2, 2),
    ("most_frequent", "city", 12, 3), ("last_n(2)", "city", 4, 1),
    lateness=5,
)
"""Every function there is, windows of several lengths."""


def event(record: Record) -> dict[str, Any]:
    """The record as an event of the feature view's source."""
    return {
        "customer": None if record.entity < 0 else f"customer {record.entity}",
        "known_at": record.at, "event_id": record.id, **record.values,
    }


def happened(
    at: int, *, entity: int = 0, id: str | None = None, amount: float | None = 1.0,
    pages: int | None = 2, shop: str | None = "a", city: str | None = "Bonn",
) -> Record:
    """An event called after its instant."""
    return Record(
        entity=entity, at=at, id=str(at) if id is None else id, arrived=0,
        values={"amount": amount, "pages": pages, "shop": shop, "paid": True, "city": city},
    )


def in_order(records: Sequence[Record]) -> list[Record]:
    """The same, arriving in this order."""
    return [
        Record(entity=each.entity, at=each.at, id=each.id, arrived=place, values=each.values)
        for place, each in enumerate(records)
    ]


class OpenBackend(Protocol):
    """Opens a store once more."""

    def __call__(self, project: str = ...) -> Backend: ...


def registered(backend: Backend, view: View) -> int:
    return backend.register(view.name, digest_of(view))


def rows_of(view: WindowedView, records: Sequence[Record]) -> list[Row]:
    """Those of an entity, as `Backend.append` takes them."""
    rows = (event_row(view, event(record)) for record in records)
    return [row for row in rows if row is not None]


def key(entity: int) -> bytes:
    return f"customer {entity}".encode()
