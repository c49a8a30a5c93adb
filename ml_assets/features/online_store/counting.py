"""Events and rows into an online store. Imports no Feast, so that serving can use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import time_ns

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ml_assets.core.errors import ContractViolation, unknown
from ml_assets.features.engine.columns import (
    event_values,
    events_of,
    instant,
    instants,
    key_column,
    nulls_of,
)
from ml_assets.features.engine.events import entity_key, uid
from ml_assets.features.engine.exact import Ints
from ml_assets.features.engine.state import pack, pack_row
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import ONLY_ROW, Backend, Row, number_of
from ml_assets.features.online_store.values import fitted
from ml_assets.features.online_store.versions import NO_CREATED, Column, PlainView, pack_payloads

AT_ONCE = 5_000
"""Events that are applied in one transaction: few enough that others need not wait for long."""

Encode = Callable[[Column, pa.ChunkedArray], Sequence[bytes]]
"""The bytes of each value of a column that is no number; whatever for a null."""


def apply_rows(
    view: WindowedView, backend: Backend, table: pa.Table, *, view_id: int | None = None
) -> int:
    """Count the rows of `table` as events of `view`, each id once for each entity.

    table: at least the view's keys, timestamp, event id and the columns of its aggregates
    view_id: the number of the view's data, if it is not the registered one
    Returns how many were new. Raises as `events_of`, and NotReady where the view is not
    registered. After a failure some are counted; to repeat is safe.
    """
    view_id = number_of(backend, view) if view_id is None else view_id
    rows = event_rows(view, table)
    return sum(
        backend.append(view, view_id, rows[start : start + AT_ONCE])
        for start in range(0, len(rows), AT_ONCE)
    )


def event_rows(view: WindowedView, table: pa.Table) -> list[Row]:
    """The rows of `table` as `Backend.append` takes them, by entity. Raises as `events_of`."""
    events, entities = events_of(view, table)
    # The order of arrival matters within an entity only, and this one keeps it.
    return sorted(zip(
        entities, events.at.tolist(), events.uid.tolist(), pack(view, events), strict=True
    ), key=lambda row: row[0])


def apply_events(
    view: WindowedView, backend: Backend, view_id: int, events: Sequence[Mapping[str, object]]
) -> int:
    """The same for a few events as they come, in one transaction.

    events: each at least the columns as for `apply_rows`; the instant as an aware datetime
    or in microseconds since 1970 UTC
    """
    rows = [row for row in (event_row(view, event) for event in events) if row is not None]
    return backend.append(view, view_id, rows) if rows else 0


def event_row(view: WindowedView, event: Mapping[str, object]) -> Row | None:
    """One event as `Backend.append` takes it; None where a key is missing."""
    entity = entity_key([event.get(name) for name in view.keys])
    if entity is None:
        return None
    owner = f"feature view {view.name!r}"
    at = instant(event.get(view.timestamp), view.timestamp, owner)
    name = event.get(view.event_id)
    if name is None:
        raise ContractViolation(f"{owner}: {view.event_id!r} is null; every event needs an id")
    number = uid(str(name))
    return entity, at, number, pack_row(view, at, number, event_values(view, event))


def put_rows(
    view: PlainView, backend: Backend, table: pa.Table, *, timestamp: str, created: str = "",
    encode: Encode | None = None, now: int | None = None,
) -> int:
    """Store the rows of `table` as versions of their entities' features.

    timestamp, created: the columns that say when a row holds from and when it was written
    encode: for columns that are neither numbers nor texts
    now: see `Backend.put`
    Returns how many rows have an entity and an instant, and so were stored.
    """
    owner = f"feature view {view.name!r}"
    wanted = (*view.keys, timestamp, *filter(None, [created]))
    for name in (*wanted, *(each.name for each in view.columns)):
        if name not in table.column_names:
            raise unknown("column", name, table.column_names, f"It is read for {owner}.")
    keys = key_column(table, view.keys, owner) if view.keys else [ONLY_ROW] * len(table)
    there = ~nulls_of(table[timestamp]) & np.array([key is not None for key in keys], dtype=bool)
    table = table.filter(pa.array(there))
    known = [key for key, is_there in zip(keys, there.tolist(), strict=True) if key and is_there]
    at = instants(table[timestamp], timestamp, owner)
    since = np.full(len(at), NO_CREATED)
    if created:
        written = ~nulls_of(table[created])
        since[written] = instants(table[created].drop_null(), created, owner)
    now = time_ns() // 1000 if now is None else now
    places = _needed(known, at, since, now)
    payloads = payloads_of(view, table.take(pa.array(places)), encode)
    backend.put(number_of(backend, view), [
        (known[place], when, since_when, payload)
        for place, when, since_when, payload in zip(
            places.tolist(), at[places].tolist(), since[places].tolist(), payloads, strict=True
        )
    ], now)
    return len(table)


def _needed(keys: Sequence[bytes], at: Ints, created: Ints, now: int) -> Ints:
    """The places of each key's two latest versions as of `now` and of all after it: all that a
    store keeps.

    Of those with one `at` only the one that was written last is a version.
    """
    codes: dict[bytes, int] = {}
    code = np.fromiter((codes.setdefault(key, len(codes)) for key in keys), np.int64, len(keys))
    if len(codes) == len(keys):
        return np.arange(len(keys))
    # A stable sort: of equal ones the last stays last.
    order = np.lexsort((created, at, code))
    last = np.ones(len(order), dtype=bool)
    last[:-1] = (np.diff(code[order]) != 0) | (np.diff(at[order]) != 0)
    order = order[last]
    latest = np.ones(len(order), dtype=bool)
    latest[:-2] = (code[order[2:]] != code[order[:-2]]) | (at[order[2:]] > now)
    return order[latest]


def payloads_of(view: PlainView, table: pa.Table, encode: Encode | None = None) -> list[bytes]:
    """Each row's features as a payload. Raises ContractViolation, see `values`."""
    return packed_payloads(view, len(table), {
        each.name: fitted(view.name, each, table[each.name]) for each in view.columns
    }, encode)


def packed_payloads(
    view: PlainView, rows: int, values: Mapping[str, pa.ChunkedArray], encode: Encode | None = None
) -> list[bytes]:
    """The same of columns that fit the view's types."""
    columns = (*view.numbers, *view.texts)
    nulls = np.stack([nulls_of(values[each.name]) for each in columns], axis=1) if columns else (
        np.empty((rows, 0), dtype=bool)
    )
    numbers: list[npt.NDArray[np.generic]] = []
    for each in view.numbers:
        column = values[each.name]
        nothing = False if pa.types.is_boolean(column.type) else 0
        numbers.append(pc.fill_null(column, nothing).to_numpy())
    texts = []
    for each in view.texts:
        column = values[each.name]
        if each.type in ("String", "Bytes"):
            texts.append([value or b"" for value in pc.cast(column, pa.binary()).to_pylist()])
        else:
            assert encode is not None, f"{each} needs an encoder"
            texts.append(list(encode(each, column)))
    return pack_payloads(view, numbers, nulls, texts)
