"""A Redis server that nobody else uses: it listens on a socket in a private folder."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from ml_assets.core.errors import NotReady
from ml_assets.core.profiles.own_postgres import LONGEST
from ml_assets.core.runtime import keeper
from ml_assets.core.storage.files import make_folder, make_private

START_S, STOP_S = 30.0, 10.0


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
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Where we find it."""
        return {"ML_ASSETS_REDIS": self.url}

    def start(self) -> None:
        """Start it, with the data of last time. Raises NotReady if it does not come up."""
        make_folder(self.folder)
        if len(str(self.folder).encode()) > LONGEST:
            raise NotReady(f"{self.folder} is too long a name for the folder of a socket, which "
                           f"may have {LONGEST} bytes: set ML_ASSETS_VAR to a shorter one")
        (self.folder / "socket").unlink(missing_ok=True)
        make_private(log := self.folder / "log")
        with log.open("wb") as output:
            self._server = subprocess.Popen(
                [self._program, "--port", "0", "--unixsocket", self.folder / "socket",
                 "--unixsocketperm", "700", "--dir", self.folder, "--appendonly", "yes",
                 "--save", ""],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.folder,
                start_new_session=True, preexec_fn=keeper.ending_with_us())
        deadline = time.monotonic() + START_S
        while not (self.folder / "socket").exists():
            if self._server.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise NotReady(f"Redis in {self.folder} does not start. {log} ends with:\n"
                               f"{log.read_text(errors='replace')[-1000:]}")
            time.sleep(0.02)

    @property
    def is_up(self) -> bool:
        return self._server is not None and self._server.poll() is None

    def stop(self) -> None:
        """End it; its data is there again at the next start."""
        if self._server is not None and self._server.poll() is None:
            self._server.terminate()
            try:
                self._server.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
