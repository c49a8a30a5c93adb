"""What the online store says to Feast of its views: rows of values, and what was known of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from feast import utils
from feast.feature_view import FeatureView
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.Value_pb2 import Value

from ml_assets.features.engine import state
from ml_assets.features.engine.state.checking import cuts_of
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.feast_stores.declared import types_of, view_of
from ml_assets.features.feast_stores.feast_values import (
    instant_of,
    values_of_payload,
    values_of_windows,
)
from ml_assets.features.online_store.backend import OWN, Backend, floor_of
from ml_assets.features.online_store.decoders import Status
from ml_assets.features.online_store.notes import note_of
from ml_assets.features.online_store.stored_view import StoredView
from ml_assets.features.online_store.versions import PlainView, is_whole, versions_of

Answer = tuple[datetime | None, dict[str, Value] | None]
"""What Feast takes: an instant and the features, or neither; without features it has expired."""


class Row(NamedTuple):
    """The features of one entity, as of when they are, and what the store knew of it."""

    at: datetime | None
    values: dict[str, Value] | None
    status: Status

    @property
    def answer(self) -> Answer:
        return self.at, self.values


_NOT_FOUND = Row(None, None, Status.NOT_FOUND)
_NO_KEY = Row(None, None, Status.NO_KEY)
_DAMAGED = Row(None, None, Status.DAMAGED)


class ViewReader:
    """Reads any features of one of Feast's views as Feast's values."""

    def __init__(self, backend: Backend, table: FeatureView) -> None:
        self.table, self.view, self.types = table, view_of(table), types_of(table)
        self.stored, self._backend = StoredView(backend, self.view), backend

    def rows(
        self, keys: Sequence[bytes | None], own: bytes, blobs: Sequence[bytes | None], now: int,
        names: Iterable[str] | None = None,
    ) -> list[Row]:
        """One for each key, as of `now`; `own` is the view's own entry.

        names: the features; all unless given. Raises NotReady if one must be loaded first.
        """
        types = self.types if names is None else {name: self.types[name] for name in names
                                                  if name in self.types}
        note, view = note_of(own), self.view
        note.require_loaded(view.name, frozenset(types))
        if note.before:
            before, *blobs = self._backend.get(note.before, [OWN, *_store_keys(keys)])
            own, view = before or b"", note_of(before or b"").view or view
            floor_of(before, view.name)
        if isinstance(view, PlainView):
            wanted = frozenset(types)
            return [_NO_KEY if key is None else _plain_row(view, blob, now, wanted)
                    for key, blob in zip(keys, blobs, strict=True)]
        return _windowed_rows(view, types, keys, blobs, max(now, floor_of(own, view.name)))


def read_views(
    backend: Backend,
    requests: Sequence[tuple[ViewReader, Sequence[bytes | None], Iterable[str] | None]],
    nows: Sequence[int],
) -> list[list[Row]]:
    """For each view with its keys and features the `rows`, as of its `now`. In one round trip."""
    store_requests = [reader.stored.request(_store_keys(keys)) for reader, keys, _ in requests]
    return [
        reader.rows(keys, *reader.stored.answer(request, blobs), now, names)
        for (reader, keys, names), now, request, blobs in zip(
            requests, nows, store_requests, backend.get_many(store_requests), strict=True
        )
    ]


def fill_in(
    response: Any, table: FeatureView, names: list[str], rows: Sequence[Row],
    indexes: Iterable[list[int]], size: int, full_feature_names: bool, versions: bool,
) -> None:
    """Add the view's features to Feast's response, which knows more than present and not found.

    indexes: for each row those of the request's rows that it answers; size: of the request
    """
    indexes, first = list(indexes), len(response.results)
    utils._populate_response_from_feature_data(
        names, [row.answer for row in rows], indexes, response, full_feature_names, table, size,
        versions,
    )
    for row, mine in zip(rows, indexes, strict=True):
        if row.status in _STATUS:
            for result in response.results[first:]:
                for index in mine:
                    result.statuses[index] = _STATUS[row.status]


_STATUS = {Status.EXPIRED: FieldStatus.OUTSIDE_MAX_AGE, Status.DAMAGED: FieldStatus.INVALID}


def _store_keys(keys: Sequence[bytes | None]) -> list[bytes]:
    return [key or OWN for key in keys]


def _plain_row(view: PlainView, blob: bytes | None, now: int, names: frozenset[str]) -> Row:
    """The latest version at or before `now`."""
    if blob is None:
        return _NOT_FOUND
    if not is_whole(view, blob):
        return _DAMAGED
    for at, _, payload in versions_of(blob):
        if at <= now:
            if view.ttl and now > at + view.ttl:
                return Row(instant_of(at), None, Status.EXPIRED)
            return Row(instant_of(at), values_of_payload(view, payload, names), Status.PRESENT)
    return _NOT_FOUND


def _windowed_rows(
    view: WindowedView, types: Mapping[str, str], keys: Sequence[bytes | None],
    blobs: Sequence[bytes | None], now: int,
) -> list[Row]:
    """As of `now`, or of the earliest instant after it that can be answered exactly."""
    there = [None if key is None else blob for key, blob in zip(keys, blobs, strict=True)]
    cuts, damaged = cuts_of(view, there)
    known = [None if bad else blob for blob, bad in zip(there, damaged, strict=True)]
    as_of = view.as_of(np.maximum(now, np.where(damaged, now, cuts)))
    values = state.read(view, known, as_of).tolist()
    return [
        _NO_KEY if key is None else _DAMAGED if bad else
        Row(instant_of(at), values_of_windows(view, types, numbers),
            Status.NOT_FOUND if blob is None else Status.PRESENT)
        for key, blob, bad, at, numbers in zip(
            keys, known, damaged.tolist(), as_of.tolist(), values, strict=True
        )
    ]
