"""A Redis server that nobody else uses: it listens on a socket in a private folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from ml_assets.core.errors import NotReady
from ml_assets.core.profiles.server_process import ServerProcess, require_socket
from ml_assets.core.storage.files import make_folder


class OwnRedis:
    """A server in `folder`, without a port and without a password."""

    name = "Redis"

    def __init__(self, folder: Path) -> None:
        """Raises NotReady if it is not installed."""
        program = shutil.which("redis-server")
        if program is None:
            raise NotReady("Redis is not installed: there is no redis-server on the PATH (on "
                           "Debian: apt-get install redis-server)")
        self.folder, self._program = folder, program
        self.url = f"unix://{folder}/socket"
        self._server = ServerProcess(self.name, folder)

    @property
    def environment(self) -> dict[str, str]:
        """Where we find it."""
        return {"ML_ASSETS_REDIS": self.url}

    def start(self) -> None:
        """Start it, with the data of last time. Raises NotReady if it does not come up."""
        make_folder(self.folder)
        require_socket(self.folder)
        socket = self.folder / "socket"
        socket.unlink(missing_ok=True)
        self._server.start(
            [self._program, "--port", "0", "--unixsocket", socket, "--unixsocketperm", "700",
             "--dir", self.folder, "--appendonly", "yes", "--save", ""],
            lambda process: socket.exists())

    @property
    def is_up(self) -> bool:
        return self._server.is_up

    @property
    def pid(self) -> int:
        return self._server.pid

    def stop(self) -> None:
        """End it; its data is there again at the next start."""
        self._server.stop()
