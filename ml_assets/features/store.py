"""The Feast store of an installation: opened once a process, applied when it has changed."""

from __future__ import annotations

import fcntl
import json
import logging
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_assets.core.errors import DeclarationError, StateDamaged
from ml_assets.core.profiles.cluster import Cluster
from ml_assets.core.project import SYSTEMS, systems_in
from ml_assets.core.runtime.workers import shared_scratch
from ml_assets.core.settings import Settings
from ml_assets.core.storage.files import make_folder, write_atomically
from ml_assets.core.storage.layout import LMDB_SIDES, SET_ASIDE
from ml_assets.core.storage.marker import note as note_made
from ml_assets.features.manifest import REPO, definitions_of, load_manifest, unpublished_in
from ml_assets.features.online_store.following.lake_stream import Origins
from ml_assets.features.online_store.lmdb.backend import LmdbBackend

if TYPE_CHECKING:
    from feast import FeatureStore

log = logging.getLogger(__name__)


def open_store(settings: Settings, repo: Path = REPO) -> FeatureStore:
    """The store of `settings.var`, with what `repo` declares applied to it.

    The same object for all callers of a process; Feast keeps its registry in memory.
    """
    with _calm():
        apply_if_changed(settings, repo)
        return _store(_Installation.of(settings), repo)


def note_loaded(store: FeatureStore, view: str, start: datetime, until: datetime) -> None:
    """Tell Feast's registry, so that `feast materialize-incremental` goes on from `until`.

    store: as `open_store` gives it
    """
    with _calm():
        registered: Any = store.registry.get_any_feature_view(view, store.project)
        store.registry.apply_materialization(registered, store.project, start, until)


def open_backend(settings: Settings) -> LmdbBackend:
    """The online store, without Feast. Close it when done.

    A damaged file is set aside, and the log of its views has everything: it is made anew.
    """
    path = settings.online_store
    try:
        return LmdbBackend(path)
    except StateDamaged as damaged:
        with locked(settings):
            try:
                return LmdbBackend(path)  # another process may have been here first
            except StateDamaged:
                _set_aside(settings, path)
        log.warning("%s. It was set aside, and is made anew from event log and lake", damaged)
        return LmdbBackend(path)


def _set_aside(settings: Settings, path: Path) -> None:
    now = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
    make_folder(settings.var / SET_ASIDE)
    for side in ("", *LMDB_SIDES):
        with suppress(FileNotFoundError):
            each = path.with_name(f"{path.name}{side}")
            each.replace(settings.var / SET_ASIDE / f"{each.name}.{now}")


def origins_of(settings: Settings) -> Origins:
    """Where the online state gets what the log does not have packed."""
    return Origins(settings.lake, systems_in(SYSTEMS))


def apply_if_changed(settings: Settings, repo: Path = REPO) -> bool:
    """`feast apply`, where `repo` declares something else than what was applied last.

    Objects that are no longer declared are removed, with their online tables. Returns
    whether anything was done; costs milliseconds where nothing was.
    """
    note = _note(settings)
    digest = load_manifest(settings, repo).feast.fingerprint
    if _applied(note) == digest:
        return False
    with locked(settings):
        if _applied(note) == digest:
            return False
        _apply(settings, repo)
        write_atomically(note, json.dumps({"manifest": digest}).encode())
        note_made(note)
        if settings.cluster is None:
            note_made(note.with_name("registry.sqlite"))
    return True


def drop_views(settings: Settings, names: Collection[str]) -> None:
    """Drop these views, with their online tables, and apply what is declared: as if they were new.

    Can be repeated.
    """
    store = open_store(settings)
    with _calm():
        with locked(settings):
            # First, so that whoever opens the store next applies them, whatever happens here.
            write_atomically(_note(settings), json.dumps({"manifest": ""}).encode())
            gone: list[Any] = [view for view in store.list_all_feature_views()
                               if view.name in names]
            store.apply([], objects_to_delete=gone, partial=False)
        open_store(settings)


@contextmanager
def _calm() -> Iterator[None]:
    """Feast calls stream feature views alpha; what we use of them is their declaration.

    If it is first imported in the block, it does not check the types of its arguments: for that it
    parses and compiles its classes again, which is most of what its import costs. The process that
    reads the declarations does check them.
    """
    import typeguard

    checked: Any = typeguard.typechecked
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Stream feature views", category=RuntimeWarning)
        vars(typeguard)["typechecked"] = _as_it_is
        try:
            yield
        finally:
            vars(typeguard)["typechecked"] = checked


def _as_it_is(target: Any = None, **_: object) -> Any:
    """In place of `typeguard.typechecked`, which decorates a class or takes options first."""
    return _as_it_is if target is None else target


@contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Keeps every other process from writing to the store; waits its turn."""
    path = settings.var / "feast" / "store.lock"
    make_folder(path.parent)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _note(settings: Settings) -> Path:
    """Says what was applied last."""
    return settings.var / "feast" / "applied.json"


def _applied(note: Path) -> str | None:
    """The digest of what was applied last. Raises StateDamaged."""
    try:
        digest: str = json.loads(note.read_bytes())["manifest"]
        return digest
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StateDamaged(f"{note} is damaged: {error}. `ml-assets doctor --mend` sets it aside; "
                           "what is declared is applied again") from error


def _apply(settings: Settings, repo: Path) -> None:
    from feast.feature_view import DUMMY_ENTITY_NAME

    store = _store(_Installation.of(settings), repo)
    declared, unpublished = _declared(repo)
    names = {(_kind(each), each.name) for each in declared}
    registered: list[Any] = [
        *store.list_data_sources(), *store.list_feature_services(), *store.list_all_feature_views(),
        *(each for each in store.list_entities() if each.name != DUMMY_ENTITY_NAME),
    ]
    gone = [each for each in registered if (_kind(each), each.name) not in names]
    if unpublished:  # what a broken system has declared stays, with its online tables
        gone = []
    with warnings.catch_warnings():
        # Feast warns of slow on-demand views, which we compute ourselves.
        warnings.filterwarnings("ignore", "On demand feature view is an experimental feature")
        store.apply(declared, objects_to_delete=gone, partial=False)


def _kind(each: Any) -> type:
    """What the registry takes it for: it knows no class but Feast's."""
    return next(kind for kind in type(each).__mro__ if kind.__module__.startswith("feast."))


def _declared(repo: Path) -> tuple[list[Any], Mapping[str, str]]:
    """What `<repo>/definitions.py` publishes of Feast's objects, and the sources that it reads;
    and which systems are broken, if it says so.
    """
    from feast import Entity, FeatureService
    from feast.base_feature_view import BaseFeatureView
    from feast.data_source import DataSource

    module = definitions_of(repo)
    kinds = (BaseFeatureView, DataSource, Entity, FeatureService)
    found = {(type(each), each.name): each for each in vars(module).values()
             if isinstance(each, kinds)}
    for each in list(found.values()):
        batch = getattr(each, "batch_source", None)
        if isinstance(batch, DataSource):
            found[type(batch), batch.name] = batch
    return list(found.values()), unpublished_in(module)


class _Installation(NamedTuple):
    """What a store differs by."""

    var: Path
    lake: Path
    cluster: Cluster | None
    ray: str

    @classmethod
    def of(cls, settings: Settings) -> _Installation:
        return cls(settings.var, settings.lake, settings.cluster, settings.ray)


@lru_cache(maxsize=32)
def _store(settings: _Installation, repo: Path, redis: bool = False) -> FeatureStore:
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

    config = RepoConfig(**_config(settings, repo, redis=redis))
    config.repo_path = repo
    make_folder(settings.var / "feast")
    return FeatureStore(config=config)


def client_config(settings: Settings, repo: Path = REPO) -> dict[str, Any]:
    """`feature_store.yaml` for Feast's commands and for services that are not ours: the registry,
    and online features in Redis as `publish_features` leaves them, if the profile names one.
    """
    has_redis = settings.cluster is not None and bool(settings.cluster.redis)
    parsed = _config(_Installation.of(settings), repo, redis=has_redis)
    parsed["online_store"].pop("log", None)
    return parsed


def publish_features(settings: Settings, repo: Path = REPO) -> Callable[[], int]:
    """What brings Redis to the end of the event log: see `PackedRedisOnlineStore.publish`.

    Raises DeclarationError if the profile names no Redis.
    """
    if settings.cluster is None or not settings.cluster.redis:
        raise DeclarationError("there is no Redis to publish features to: set ML_ASSETS_REDIS, or "
                               "redis under [profiles.cluster] in settings.toml")
    open_store(settings, repo)
    with _calm():
        store = _store(_Installation.of(settings), repo, redis=True)
        tables = [*store.list_feature_views(), *store.list_stream_feature_views()]
    online: Any = store._get_provider().online_store
    return partial(online.publish, store.config, tables)


def _config(settings: _Installation, repo: Path, *, redis: bool) -> dict[str, Any]:
    import yaml  # type: ignore[import-untyped]  # comes with Feast, ships no types

    written = (repo / "feature_store.yaml").read_text().replace("../var", str(settings.var))
    parsed: dict[str, Any] = yaml.safe_load(written)
    if settings.ray:
        parsed["offline_store"] |= {
            "ray": settings.ray, "temp_directory": str(shared_scratch(settings.var))}
    if settings.cluster is not None:
        from ml_assets.core.storage.postgres import make_room

        parsed["registry"] |= {
            "path": make_room(settings.cluster.feast).sqlalchemy(),
            # A connection may have died since it was used last.
            "sqlalchemy_config_kwargs": {"pool_pre_ping": True}}
        if "log" in parsed["online_store"]:
            parsed["online_store"]["log"] = settings.cluster.event_log.text
        if "lake" in parsed["offline_store"]:
            parsed["offline_store"]["lake"] = str(settings.lake)
        if redis:
            parsed["online_store"] = {
                **{name: value for name, value in parsed["online_store"].items() if name != "path"},
                "type": "ml_assets.features.feast_stores.redis_online.PackedRedisOnlineStore",
                "url": settings.cluster.redis, "prefix": settings.cluster.schema}
    return parsed
