"""What Feast's SQL registry leaves behind when a project is torn down."""

from __future__ import annotations

from feast.infra.registry.sql import SqlRegistryConfig, feature_view_version_history
from feast.repo_config import RepoConfig
from sqlalchemy import create_engine, delete, inspect


def forget_versions(config: RepoConfig) -> None:
    """Delete the views' version history, all of it: `feast teardown` deletes every project.

    Feast 0.67 (`SqlRegistry.delete_project`) leaves it, and the next `feast apply` then fails on
    each view with an IntegrityError, as version 0 is there already. A registry that is no SQL
    one keeps its history with its views.
    """
    registry = config.registry
    if not isinstance(registry, SqlRegistryConfig):
        return
    engine = create_engine(registry.path, **registry.sqlalchemy_config_kwargs)
    try:
        with engine.begin() as connection:
            if inspect(connection).has_table(feature_view_version_history.name):
                connection.execute(delete(feature_view_version_history))
    finally:
        engine.dispose()
