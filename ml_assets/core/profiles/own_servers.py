"""The servers of the profile `cluster` that one machine can start for itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ml_assets.core.errors import NotReady


class OwnServer(Protocol):
    """name: what people call it; folder: of its data, and of its `log`
    environment: how everything else finds it
    """

    name: str
    folder: Path

    @property
    def environment(self) -> Mapping[str, str]: ...

    @property
    def is_up(self) -> bool: ...

    @property
    def pid(self) -> int:
        """Raises NotReady unless it is up."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


def own_servers(folder: Path) -> tuple[list[OwnServer], list[str]]:
    """Those that are installed, to be started in this order, and why the others are not there.

    Raises NotReady without PostgreSQL, which nothing replaces.
    """
    from ml_assets.core.profiles.own_objects import OwnObjects
    from ml_assets.core.profiles.own_postgres import OwnPostgres
    from ml_assets.core.profiles.own_redis import OwnRedis

    servers: list[OwnServer] = [OwnPostgres(folder / "postgres")]
    lacking = []
    for kind, name in ((OwnObjects, "objects"), (OwnRedis, "redis")):
        try:
            servers.append(kind(folder / name))
        except NotReady as error:
            lacking.append(str(error))
    return servers, lacking
