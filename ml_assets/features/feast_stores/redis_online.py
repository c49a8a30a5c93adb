"""Feast's door to our online store in Redis; needs the extra `redis`.

    online_store:
      type: ml_assets.features.feast_stores.redis_online.PackedRedisOnlineStore
      url: redis://localhost:6379/0   # or unix:///path/to/socket
      log: ../var/event_log.sqlite    # optional, see PackedConfig
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from feast.repo_config import RepoConfig

from ml_assets.core.errors import LogUnavailable, NotReady
from ml_assets.core.storage.places import without_secret
from ml_assets.features.feast_stores.online import PackedConfig, PackedOnlineStore
from ml_assets.features.online_store.backend import Backend
from ml_assets.features.online_store.redis.following import FollowingRedis


class PackedRedisOnlineStoreConfig(PackedConfig):
    """url: `redis://user:password@host:port/db`, `rediss://...` or `unix:///path`; prefix: what
    all keys begin with.
    """

    type: str = "ml_assets.features.feast_stores.redis_online.PackedRedisOnlineStore"
    url: str = "redis://localhost:6379/0"
    prefix: str = "ml_assets"


class PackedRedisOnlineStore(PackedOnlineStore):
    """Windows and rows in Redis, for serving from several machines."""

    def __init__(self) -> None:
        super().__init__()
        self._registered: object = None
        """The tables that were registered for `publish`."""

    def open_backend(self, config: RepoConfig) -> Backend:
        said = config.online_store
        return FollowingRedis(said.url, config.project, prefix=said.prefix)

    def publish(self, config: RepoConfig, tables: Sequence[Any]) -> int:
        """Apply what the event log in PostgreSQL has come to; returns how many positions were new.

        Tables are registered by the first call with these; those that Redis has lost again, and
        they are filled from the start.
        Raises LogUnavailable if Redis or the log does not answer; the next call asks anew.
        """
        import redis

        from ml_assets.core.storage.postgres import PostgresDatabase

        try:
            there = self.backend(config).views().keys()
            if self._registered is not tables or not {each.name for each in tables} <= there:
                self._followers.close()
                self.update(config, [], tables, [], [], partial=True)
                self._registered = tables
            new = 0
            for projection in self.projections(config, tables):
                new = max(new, projection.behind())
                projection.catch_up()
        except (redis.RedisError, PostgresDatabase.Error, NotReady) as error:
            self._followers.close()
            raise LogUnavailable("cannot publish features to "
                                 f"{without_secret(config.online_store.url)}: {error}") from error
        return new
