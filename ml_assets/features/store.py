"""The Feast store of an installation: opened once a process, applied when it has changed."""

from __future__ import annotations

import fcntl
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_assets.core.files import write_atomically
from ml_assets.core.settings import Settings
from ml_assets.features.loads import LoadLog
from ml_assets.features.manifest import REPO, load_manifest

if TYPE_CHECKING:
    from feast import FeatureStore


def open_store(settings: Settings, repo: Path = REPO) -> FeatureStore:
    """The store of `settings.var`, with what `repo` declares applied to it.

    The same object for all callers of a process; Feast keeps its registry in memory.
    """
    apply_if_changed(settings, repo)
    return _store(settings.var, repo)


def load_log(settings: Settings) -> LoadLog:
    """The log of loads into the online store. Close it when done."""
    return LoadLog(settings.var / "feast" / "loads.sqlite")


def apply_if_changed(settings: Settings, repo: Path = REPO) -> bool:
    """`feast apply`, where `repo` declares something else than what was applied last.

    Objects that are no longer declared are removed, with their online tables. Returns
    whether anything was done; costs milliseconds where nothing was.
    """
    note = settings.var / "feast" / "applied.json"
    digest = load_manifest(settings, repo).digest
    if _applied(note) == digest:
        return False
    with locked(settings):
        if _applied(note) == digest:
            return False
        _apply(settings, repo)
        write_atomically(note, json.dumps({"manifest": digest}).encode())
    return True


@contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Keeps every other process from writing to the store; waits its turn."""
    path = settings.var / "feast" / "store.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _applied(note: Path) -> str | None:
    return json.loads(note.read_bytes())["manifest"] if note.exists() else None


def _apply(settings: Settings, repo: Path) -> None:
    from feast.feature_view import DUMMY_ENTITY_NAME

    from ml_assets.features.describe_repo import objects_of

    store = _store(settings.var, repo)
    declared = objects_of(repo)
    registered: dict[str, list[Any]] = {
        "data_sources": store.list_data_sources(),
        "entities": [each for each in store.list_entities() if each.name != DUMMY_ENTITY_NAME],
        "feature_views": store.list_feature_views(),
        "feature_services": store.list_feature_services(),
    }
    gone = [
        item
        for kind, items in registered.items()
        for item in items
        if item.name not in {each.name for each in declared[kind]}
    ]
    store.apply(
        [item for items in declared.values() for item in items], objects_to_delete=gone,
        partial=False,
    )
    # Readers in other processes then never wait for a load.
    with sqlite3.connect(settings.var / "feast" / "online.sqlite") as online:
        online.execute("pragma journal_mode=wal")
    online.close()


@lru_cache(maxsize=32)
def _store(var: Path, repo: Path) -> FeatureStore:
    import yaml  # type: ignore[import-untyped]  # comes with Feast, ships no types
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

    written = (repo / "feature_store.yaml").read_text().replace("../var", str(var))
    parsed: dict[str, Any] = yaml.safe_load(written)
    config = RepoConfig(**parsed)
    config.repo_path = repo
    (var / "feast").mkdir(parents=True, exist_ok=True)
    return FeatureStore(config=config)
