"""Feast's door to our online stores, and the one in LMDB.

    online_store:
      type: ml_assets.features.feast_stores.online.PackedLmdbOnlineStore
      path: ../var/online.lmdb     # relative to feature_store.yaml
      clock_file: ../var/clock     # optional, see PackedConfig
      log: ../var/event_log.sqlite # optional, see PackedConfig

Beyond Feast's own stores: windowed aggregates as of now, the time to live is kept, late rows
never replace newer ones, and what an entity has is one row.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

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
from ml_assets.core.project import systems_in
from ml_assets.core.storage.places import place_at
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.feast_stores.clocks import clock_of, in_repo, nows_of
from ml_assets.features.feast_stores.declared import loaded_of, view_of
from ml_assets.features.feast_stores.feast_values import (
    key_of,
    key_of_entity,
    micros,
    payloads_of_values,
)
from ml_assets.features.feast_stores.followers import Followers
from ml_assets.features.feast_stores.registry import forget_versions
from ml_assets.features.feast_stores.view_reader import Answer, ViewReader, fill_in, read_views
from ml_assets.features.online_store.backend import Backend, number_of
from ml_assets.features.online_store.following.lake_stream import Origins
from ml_assets.features.online_store.following.projection import Projection
from ml_assets.features.online_store.lmdb.backend import LmdbBackend
from ml_assets.features.online_store.redefining import define, forget, settle
from ml_assets.features.online_store.versions import NO_CREATED, PlainView

_logger = logging.getLogger(__name__)


class PackedConfig(FeastConfigBaseModel):
    """clock_file: an `EventClock` that says what time it is, while the file exists; else the
    machine's clock does. `{tag}` in it is the view's tag of this name; a view without the tag goes
    by the machine's clock. Relative paths start at `feature_store.yaml`.

    log: an event log that the views over a system's streams in the lake follow: who reads them
    catches up with it, and what is loaded takes positions of it. systems: the module whose
    `find(name)` gives the system that parses what was served before a view was declared
    """

    clock_file: str | None = None
    log: str | None = None
    systems: str = "ml_assets.systems"


class PackedOnlineStore(OnlineStore):
    """A Feast online store on a `Backend`."""

    def __init__(self) -> None:
        self._opened: tuple[object, tuple[object, ...], Backend] | None = None
        self._readers: dict[int, ViewReader] = {}
        self._followers = Followers()

    @abstractmethod
    def open_backend(self, config: RepoConfig) -> Backend:
        """Called once for a configuration."""

    def projections(self, config: RepoConfig, tables: Sequence[Any]) -> Sequence[Projection]:
        """Those of the tables that follow an event log, system by system."""
        log, lake = config.online_store.log, getattr(config.offline_store, "lake", None)
        if log is None or lake is None:
            return ()
        backend: Any = self.backend(config)
        return self._followers.of(
            place_at(log, in_repo(config, "")), backend,
            Origins(in_repo(config, lake), systems_in(config.online_store.systems)), tables,
        )

    def backend(self, config: RepoConfig) -> Backend:
        """Where the features are; the direct way for readers and loaders."""
        said, opened = config.online_store, self._opened
        # To write it out takes as long as a read.
        if opened is None or opened[0] is not said:
            source = (config.project, config.repo_path, repr(said))
            if opened is None or opened[1] != source:
                self._readers.clear()
                opened = said, source, self.open_backend(config)
            opened = self._opened = said, source, opened[2]
        return opened[2]

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        backend = self.backend(config)
        view = self._reader(backend, table).view
        if isinstance(view, WindowedView):
            raise InvalidRequest(
                f"feature view {view.name!r} is computed from raw events, not written: use "
                "ml_assets.features.feast_stores.loading.push, or `feast materialize`"
            )
        payloads = payloads_of_values(view, [values for _, values, _, _ in data])
        rows = [
            (key, micros(at), NO_CREATED if created is None else micros(created), payload)
            for key, at, created, payload in (
                (key_of_entity(view, entity), at, created, payload)
                for (entity, _, at, created), payload in zip(data, payloads, strict=True)
            )
            if key is not None
        ]
        backend.put(number_of(backend, view), rows, micros(clock_of(config, table).now()))
        if progress:
            progress(len(data))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Answer]:
        backend = self.backend(config)
        reader, now = self._reader(backend, table), micros(clock_of(config, table).now())
        keys = [key_of_entity(reader.view, key) for key in entity_keys]
        self._catch_up(config, [table])
        [rows] = read_views(backend, [(reader, keys, requested_features)], [now])
        return [row.answer for row in rows]

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
        backend, nows = self.backend(config), nows_of(config, tables_to_keep)
        for table in tables_to_delete:
            forget(backend, table.name)
        for (view, loaded), now in zip(views, nows, strict=True):
            note = define(backend, view, loaded=loaded, now=now)
            if isinstance(view, PlainView) and note.new and not _loads_again(config):
                settle(backend, view)
            if note.new:
                _logger.warning("%s", note.advice(view.name, note.new))

    def plan(self, config: RepoConfig, desired_registry_proto: Registry) -> list[InfraObject]:
        """Nothing to make; raises DeclarationError if a windowed view cannot be computed."""
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
        """As Feast's own, but in one round trip, and an expired row says so."""
        backend, nows = self.backend(config), nows_of(config, [table for table, _ in grouped_refs])
        requests, shapes = [], []
        self._catch_up(config, [table for table, _ in grouped_refs])
        for table, names in grouped_refs:
            keys, indexes, size = utils._get_unique_entities(
                table, join_key_values, entity_name_to_join_key_map
            )
            reader = self._reader(backend, table)
            requests.append((reader, [key_of(reader.view, key) for key in keys], names))
            shapes.append((indexes, size))
        for (reader, _, names), (indexes, size), rows in zip(
            requests, shapes, read_views(backend, requests, nows), strict=True
        ):
            fill_in(online_features_response, reader.table, names, rows, indexes, size,
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

    def _catch_up(self, config: RepoConfig, tables: Sequence[Any]) -> None:
        try:
            self._apply(config, tables)
        except Exception:
            # Its connection may have died since the last read. Whatever else it is comes again.
            self._followers.close()
            self._apply(config, tables)

    def _apply(self, config: RepoConfig, tables: Sequence[Any]) -> None:
        for projection in self.projections(config, tables):
            projection.catch_up()

    def _reader(self, backend: Backend, table: FeatureView) -> ViewReader:
        """Made once: Feast hands over the same object while its registry is cached."""
        found = self._readers.get(id(table))
        if found is None or found.table is not table:
            if len(self._readers) > 1000:
                self._readers.clear()
            found = self._readers[id(table)] = ViewReader(backend, table)
        return found


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


def _loads_again(config: RepoConfig) -> bool:
    """Whether the batch engine is ours: another does not say when a view has been loaded."""
    engine = config.batch_engine
    said = engine.get("type") if isinstance(engine, dict) else getattr(engine, "type", engine)
    return str(said).endswith(".PackedComputeEngine")
