"""What time it is for a view, and where the files lie that an online store names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from feast.base_feature_view import BaseFeatureView
from feast.repo_config import RepoConfig

from ml_assets.core.time import Clock, EventClock, WallClock
from ml_assets.features.feast_stores.feast_values import micros


def in_repo(config: RepoConfig, path: str) -> Path:
    """`path`, which is relative to `feature_store.yaml`."""
    return Path(config.repo_path or ".") / path


def clock_of(config: RepoConfig, table: BaseFeatureView) -> Clock:
    """What says the time to a view: see `PackedConfig`."""
    path = _clock_path(config, table)
    return EventClock(path) if path is not None and path.exists() else WallClock()


def _clock_path(config: RepoConfig, table: BaseFeatureView) -> Path | None:
    said: str | None = config.online_store.clock_file
    try:
        return None if said is None else in_repo(config, said.format_map(table.tags))
    except KeyError:  # a tag that the view lacks
        return None


def nows_of(config: RepoConfig, tables: Sequence[BaseFeatureView]) -> list[int]:
    """What time it is for each view: one instant for all of the same clock."""
    paths = [_clock_path(config, table) for table in tables]
    nows = {path: micros(clock_of(config, table).now())
            for path, table in zip(paths, tables, strict=True)}
    return [nows[path] for path in paths]
