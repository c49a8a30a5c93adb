"""`FeastResource`: the feature store of a repository, opened when it is first needed."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from .errors import FeastDeclarationError
from .loading import Load, Loaded, load_view
from .manifest import FeastManifest, default_cache
from .registration import applied, apply, locked, remember
from .translator import FRESH, MAX_AGE, VIEW


class FeastResource(dg.ConfigurableResource[Any]):
    """A Feast repository for assets to load.

    repo_path: the folder of the repository
    feature_store_yaml: its configuration, where that is not `feature_store.yaml` in it

    Subclass it to open another store (`get_store`) or to read another clock (`now`).
    """

    repo_path: str
    feature_store_yaml: str | None = None

    def get_store(self) -> Any:
        """Feast's `FeatureStore`, opened once in a process (the first import takes seconds)."""
        config = self._config()
        digest = hashlib.sha256(config.read_bytes()).hexdigest()
        return _open(Path(self.repo_path).resolve(), config, digest)

    def now(self) -> datetime:
        """The present, in UTC: no load reaches beyond it."""
        return datetime.now(UTC)

    def apply(self, manifest: FeastManifest) -> bool:
        """Run `feast apply` unless the registry already holds `manifest`; whether it was run.

        Processes of one machine take turns. Raises FeastRepoError with Feast's own words.
        """
        repo = Path(self.repo_path).resolve()
        place = hashlib.sha256(str(repo).encode()).hexdigest()[:16]
        with locked(default_cache() / f"apply-{place}.lock"):
            store = self.get_store()
            if applied(store) == manifest.fingerprint:
                return False
            apply(repo, self._config())
            store.refresh_registry()
            remember(store, manifest.fingerprint)
            return True

    def materialize(
        self, context: dg.AssetExecutionContext, *, load: Load = load_view
    ) -> Iterator[dg.MaterializeResult[Any]]:
        """Load the selected views one by one, and yield each as soon as it is done.

        The window is that of the run's partitions, [start, end), but not beyond `now()`; without
        partitions a load goes on from the last one up to `now()`. A view that fails does not
        undo those that are done, and those after it are still tried, except what reads it.
        Ends with dg.Failure, which names the failed views in Feast's words, where there are any.

        load: does the work, see `Load`; by default Feast's own `materialize`.
        """
        store, now = self.get_store(), self.now()
        start, end = _window(context, now)
        failed: dict[dg.AssetKey, str] = {}
        for spec in context.assets_def.specs:
            if spec.key not in context.selected_asset_keys:
                continue
            view = _view_of(spec)
            lacking = [dep.asset_key for dep in spec.deps if dep.asset_key in failed]
            if lacking:
                failed[spec.key] = f"not tried, because it reads {lacking[0].to_user_string()}"
                continue
            began = time.monotonic()
            try:
                loaded = _loaded(load(store, view, start, end))
            except Exception as error:
                context.log.exception(f"Feast could not load {view}")
                failed[spec.key] = f"{type(error).__name__}: {error}"
                continue
            yield _result(
                context, spec, loaded, end=end, now=now, seconds=time.monotonic() - began
            )
        if failed:
            words = {_view_of(spec): failed[spec.key]
                     for spec in context.assets_def.specs if spec.key in failed}
            raise dg.Failure(
                "Feast could not load "
                + "; ".join(f"{view} ({said})" for view, said in words.items()),
                metadata=words,
            )

    def _config(self) -> Path:
        said = self.feature_store_yaml or Path(self.repo_path) / "feature_store.yaml"
        return Path(said).resolve()


@functools.lru_cache(maxsize=8)
def _open(repo: Path, config: Path, digest: str) -> Any:
    """`digest` is that of the configuration: a changed one opens another store."""
    from feast import FeatureStore

    store = FeatureStore(repo_path=str(repo), fs_yaml_file=config)
    # As the Feast command line reads it: from the repository.
    registry, sqlite = store.config.registry, "sqlite:///"
    path = str(registry.path or "")
    if path.startswith(sqlite) and not Path(path.removeprefix(sqlite)).is_absolute():
        registry.path = f"{sqlite}{repo / path.removeprefix(sqlite)}"
    return store


def _window(
    context: dg.AssetExecutionContext, now: datetime
) -> tuple[datetime | None, datetime]:
    if not (context.has_partition_key or context.has_partition_key_range):
        return None, now
    window = context.partition_time_window
    return window.start.astimezone(UTC), min(window.end.astimezone(UTC), now)


def _view_of(spec: dg.AssetSpec) -> str:
    view = spec.metadata.get(VIEW)
    if not isinstance(view, str):
        raise FeastDeclarationError(
            f"asset {spec.key.to_user_string()} has no metadata {VIEW!r}, so no Feast view can be "
            "loaded for it; make it with @feast_assets or build_feast_asset_specs"
        )
    return view


def _loaded(said: Loaded | int | None) -> Loaded:
    return said if isinstance(said, Loaded) else Loaded(rows=said)


def _result(
    context: dg.AssetExecutionContext, spec: dg.AssetSpec, loaded: Loaded, *,
    end: datetime, now: datetime, seconds: float,
) -> dg.MaterializeResult[Any]:
    until = loaded.until or end
    behind = now - until
    metadata: dict[str, Any] = {
        "until": dg.MetadataValue.timestamp(until),
        "hours_behind": round(behind / timedelta(hours=1), 4),
        "seconds": round(seconds, 4),
    }
    if loaded.rows is not None:
        metadata["dagster/row_count"] = loaded.rows
    if loaded.newest is not None:
        metadata["newest_row"] = dg.MetadataValue.timestamp(loaded.newest)
    if loaded.warning:
        metadata["warning"] = loaded.warning
        context.log.warning(loaded.warning)
    return dg.MaterializeResult(
        asset_key=spec.key, metadata=metadata,
        check_results=_freshness(context, spec, behind, metadata),
    )


def _freshness(
    context: dg.AssetExecutionContext, spec: dg.AssetSpec, behind: timedelta,
    metadata: Mapping[str, Any],
) -> list[dg.AssetCheckResult]:
    check, age = dg.AssetCheckKey(spec.key, FRESH), spec.metadata.get(MAX_AGE)
    if check not in context.selected_asset_check_keys or age is None:
        return []
    return [dg.AssetCheckResult(
        passed=behind.total_seconds() <= age, check_name=FRESH, asset_key=spec.key,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"hours_behind": metadata["hours_behind"], "allowed_hours": age / 3600},
    )]
