"""Feast's door to our online store in Redis; needs the extra `redis`.

    online_store:
      type: ml_assets.features.feast_stores.redis_online.PackedRedisOnlineStore
      url: redis://localhost:6379/0   # or unix:///path/to/socket
      log: ../var/event_log.sqlite    # optional, see PackedConfig
"""

from __future__ import annotations

from feast.repo_config import RepoConfig

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

    def open_backend(self, config: RepoConfig) -> Backend:
        said = config.online_store
        return FollowingRedis(said.url, config.project, prefix=said.prefix)
