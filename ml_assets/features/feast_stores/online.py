"""Feast's door to our online stores; the ones in LMDB and in SQLite.

    online_store:
      type: ml_assets.features.feast_stores.online.PackedLmdbOnlineStore
      path: ../var/online.lmdb     # relative to feature_store.yaml
      clock_file: ../var/clock     # optional, see PackedConfig

Beyond Feast's own stores: windowed aggregates as of now, the time to live is kept, late rows
never replace newer ones, and what an entity has is one row.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from feast import utils
from feast.feature_view import FeatureView
from feast.infra.infra_object import InfraObject
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.protos.feast.core.Registry_pb2 import Registry
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from feast.stream_feature_view import StreamFeatureView

from ml_assets.core.errors import InvalidRequest
from ml_assets.core.time import Clock, EventClock, WallClock
from ml_assets.features.engine import state
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.feast_stores.answers import Answer, fill_in, plain_answer
from ml_assets.features.feast_stores.declared import loaded_of, types_of, view_of
from ml_assets.features.feast_stores.protos import (
    instant_of,
    key_of,
    micros,
    payloads_of_values,
    values_of_windows,
)
from ml_assets.features.feast_stores.registry import forget_versions
from ml_assets.features.online_store.backend import OWN, Backend, View, floor_of, number_of
from ml_assets.features.online_store.lmdb.backend import LmdbBackend
from ml_assets.features.online_store.notes import note_of
from ml_assets.features.online_store.redefining import define, forget, settle
from ml_assets.features.online_store.sqlite import SqliteBackend
from ml_assets.features.online_store.versions import NO_CREATED, PlainView

_logger = logging.getLogger(__name__)


class PackedConfig(FeastConfigBaseModel):
    """clock_file: an `EventClock` that says what time it is, while the file exists; else the
    machine's clock does. Relative paths start at `feature_store.yaml`.
    """

    clock_file: str | None = None


class PackedOnlineStore(OnlineStore):
    """A Feast online store on a `Backend`."""

    def __init__(self) -> None:
        self._opened: tuple[tuple[object, ...], Backend] | None = None
        self._known: dict[int, tuple[Any, WindowedView | PlainView]] = {}
        self._numbers: dict[int, tuple[View, int]] = {}

    @abstractmethod
    def open_backend(self, config: RepoConfig) -> Backend:
        """Called once for a configuration."""

    def backend(self, config: RepoConfig) -> Backend:
        """Where the features are; the direct way for readers and loaders."""
        wanted = (config.project, config.repo_path, repr(config.online_store))
        if self._opened is None or self._opened[0] != wanted:
            self._opened = (wanted, self.open_backend(config))
        return self._opened[1]

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        view = self._view(table)
        if isinstance(view, WindowedView):
            raise InvalidRequest(
                f"feature view {view.name!r} is computed from raw events, not written: use "
                "ml_assets.features.feast_stores.loading.push, or `feast materialize`"
            )
        backend = self.backend(config)
        payloads = payloads_of_values(view, [values for _, values, _, _ in data])
        rows = [
            (key, micros(at), NO_CREATED if created is None else micros(created), payload)
            for key, at, created, payload in (
                (key_of(view, entity), at, created, payload)
                for (entity, _, at, created), payload in zip(data, payloads, strict=True)
            )
            if key is not None
        ]
        backend.put(number_of(backend, view), rows, micros(clock_of(config).now()))
        if progress:
            progress(len(data))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Answer]:
        view, backend = self._view(table), self.backend(config)
        keys = [key_of(view, key) for key in entity_keys]
        wanted_keys = [key or OWN for key in keys]
        own, blobs = self._get(backend, view, wanted_keys)
        now = micros(clock_of(config).now())
        types = {
            name: dtype for name, dtype in types_of(table).items()
            if requested_features is None or name in requested_features
        }
        note = note_of(own)
        note.require_loaded(view.name, frozenset(types))
        if note.before:
            before, *blobs = backend.get(note.before, [OWN, *wanted_keys])
            floor, view = floor_of(before, view.name), note_of(before or b"").view or view
        else:
            floor = floor_of(own, view.name)
        if isinstance(view, PlainView):
            wanted = frozenset(types)
            return [
                (None, None) if key is None else plain_answer(view, blob, now, wanted)
                for key, blob in zip(keys, blobs, strict=True)
            ]
        known = [blob if key is not None else None for key, blob in zip(keys, blobs, strict=True)]
        as_of = view.as_of(np.array(
            [max(now, floor, state.oldest(blob)) for blob in known], dtype=np.int64
        ))
        values = state.read(view, known, as_of).tolist()
        return [
            (None, None) if key is None else
            (instant_of(t), values_of_windows(view, types, row))
            for key, t, row in zip(keys, as_of.tolist(), values, strict=True)
        ]

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[Any],
        tables_to_keep: Sequence[Any],
        entities_to_delete: Sequence[Any],
        entities_to_keep: Sequence[Any],
        partial: bool,
    ) -> None:
        """Register what is kept, drop what is deleted; see `redefining` for a changed view."""
        views = [(view_of(table), loaded_of(table)) for table in tables_to_keep]
        backend, now = self.backend(config), micros(clock_of(config).now())
        for table in tables_to_delete:
            forget(backend, table.name)
        for view, loaded in views:
            note = define(backend, view, loaded=loaded, now=now)
            if isinstance(view, PlainView) and note.new and not _loads_again(config):
                settle(backend, view)
            if note.new:
                _logger.warning("%s", note.advice(view.name, note.new))

    def plan(self, config: RepoConfig, desired_registry_proto: Registry) -> list[InfraObject]:
        """Nothing to make; raises DeclarationError where a windowed view cannot be computed."""
        for proto in desired_registry_proto.stream_feature_views:
            view_of(StreamFeatureView.from_proto(proto))
        return []

    def teardown(
        self, config: RepoConfig, tables: Sequence[Any], entities: Sequence[Any]
    ) -> None:
        """Drop every view of the project: Feast's `tables` leave out those of streams."""
        backend = self.backend(config)
        for name in backend.views():
            forget(backend, name)
        forget_versions(config)

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        return SupportedAsyncMethods(read=True, write=True)

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Answer]:
        """`online_read` in a thread, so that the caller's loop goes on."""
        return await asyncio.to_thread(
            self.online_read, config, table, entity_keys, requested_features
        )

    async def online_write_batch_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """`online_write_batch` in a thread."""
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)

    def _read_features_per_fv(
        self, config: RepoConfig, grouped_refs: list[Any], join_key_values: dict[str, Any],
        entity_name_to_join_key_map: dict[str, str], online_features_response: Any,
        full_feature_names: bool, include_feature_view_version_metadata: bool,
    ) -> None:
        """As Feast's own, but an expired row says so: Feast knows only present and not found."""
        for table, names in grouped_refs:
            values, places, size = utils._get_unique_entities(
                table, join_key_values, entity_name_to_join_key_map
            )
            rows = self.online_read(config, table, utils._get_entity_key_protos(values), names)
            fill_in(online_features_response, table, names, rows, places, size,
                     full_feature_names, include_feature_view_version_metadata)

    async def _read_features_per_fv_async(
        self, config: RepoConfig, grouped_refs: list[Any], join_key_values: dict[str, Any],
        entity_name_to_join_key_map: dict[str, str], online_features_response: Any,
        full_feature_names: bool, include_feature_view_version_metadata: bool,
    ) -> None:
        await asyncio.to_thread(
            self._read_features_per_fv, config, grouped_refs, join_key_values,
            entity_name_to_join_key_map, online_features_response, full_feature_names,
            include_feature_view_version_metadata,
        )

    def _get(
        self, backend: Backend, view: View, keys: list[bytes]
    ) -> tuple[bytes, list[bytes | None]]:
        """The view's own entry, and what is kept of each key."""
        known = self._numbers.get(id(view))
        if known is not None and known[0] is view:
            own, *blobs = backend.get(known[1], [OWN, *keys])
            if own is not None:
                return own, blobs
        if len(self._numbers) > 1000:
            self._numbers.clear()
        view_id = number_of(backend, view)
        self._numbers[id(view)] = view, view_id
        own, *blobs = backend.get(view_id, [OWN, *keys])
        floor_of(own, view.name)
        return own or b"", blobs

    def _view(self, table: FeatureView) -> WindowedView | PlainView:
        """Parsed once: Feast hands over the same object while its registry is cached."""
        found = self._known.get(id(table))
        if found is None or found[0] is not table:
            if len(self._known) > 1000:
                self._known.clear()
            found = self._known[id(table)] = (table, view_of(table))
        return found[1]


class PackedLmdbOnlineStoreConfig(PackedConfig):
    """path: the file; beside it lies another one with its locks."""

    type: str = "ml_assets.features.feast_stores.online.PackedLmdbOnlineStore"
    path: str = "data/online.lmdb"


class PackedLmdbOnlineStore(PackedOnlineStore):
    """Windows and rows in one LMDB file; any number of processes may read and write it.

    A power cut may damage the file, which then is loaded anew; killed processes lose nothing.
    """

    def open_backend(self, config: RepoConfig) -> Backend:
        return LmdbBackend(in_repo(config, config.online_store.path), config.project)


class PackedSqliteOnlineStoreConfig(PackedConfig):
    """path: the file. The event log may be the same one."""

    type: str = "ml_assets.features.feast_stores.online.PackedSqliteOnlineStore"
    path: str = "data/online.sqlite"


class PackedSqliteOnlineStore(PackedOnlineStore):
    """Windows and rows in one SQLite file; any number of processes may read and write it."""

    def open_backend(self, config: RepoConfig) -> Backend:
        return SqliteBackend(in_repo(config, config.online_store.path), config.project)


def in_repo(config: RepoConfig, path: str) -> Path:
    """`path`, which is relative to `feature_store.yaml`."""
    return Path(config.repo_path or ".") / path


def _loads_again(config: RepoConfig) -> bool:
    """Whether the batch engine is ours: another does not say when a view has been loaded."""
    engine = config.batch_engine
    said = engine.get("type") if isinstance(engine, dict) else getattr(engine, "type", engine)
    return str(said).endswith(".PackedComputeEngine")


def clock_of(config: RepoConfig) -> Clock:
    """What says the time to the project: see `PackedConfig`."""
    said: str | None = config.online_store.clock_file
    if said is not None and in_repo(config, said).exists():
        return EventClock(in_repo(config, said))
    return WallClock()
