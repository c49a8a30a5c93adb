"""A PostgreSQL server that nobody else uses: it listens on a socket in a private folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from ml_assets.core.errors import NotReady
from ml_assets.core.profiles.server_process import ServerProcess, require_socket
from ml_assets.core.storage.files import make_folder

OF_DEBIAN = Path("/usr/lib/postgresql")
"""Where its programs lie if they are not on the PATH."""
OWNERS = ("postgres", "nobody")
"""Who may run it if root starts it, as whom PostgreSQL refuses to run."""
USER = "ml_assets"


class OwnPostgres:
    """A server in `folder`, where its data stays from one start to the next.

    It has no port and no password: who may open the folder may use it. If root starts it, another
    user has to run it, who may not come into a folder of root's: then it is one in /tmp.
    """

    name = "PostgreSQL"

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        """options: settings of the server, each as `name=value`

        Raises NotReady if PostgreSQL is not installed.
        """
        self._programs, self._options = programs(), options
        self._owner = None if os.geteuid() != 0 else _owner()
        self.folder = folder if self._owner is None else _reachable(folder)
        self.url = f"postgresql://{USER}@/postgres?host={self.folder}"
        self._server = ServerProcess(self.name, self.folder)

    @property
    def environment(self) -> dict[str, str]:
        """Where we find it."""
        return {"ML_ASSETS_POSTGRES": self.url}

    def start(self) -> None:
        """Start it, with new data if there is none. Raises NotReady if it does not come up."""
        self._prepare()
        self._server.start(
            [self._programs / "postgres", "-D", self.folder / "data", "-k", self.folder,
             "-c", "listen_addresses=", "-c", "unix_socket_permissions=0700",
             *(part for each in self._options for part in ("-c", each))],
            self._answers, user=self._owner)

    def _prepare(self) -> None:
        make_folder(self.folder)
        require_socket(self.folder)
        if self._owner is not None:
            self._require_ours()
            shutil.chown(self.folder, self._owner)
        if (self.folder / "data" / "PG_VERSION").exists():
            return
        made = subprocess.run(
            [self._programs / "initdb", "-D", self.folder / "data", "--auth=trust",
             f"--username={USER}", "--no-sync", "--encoding=UTF8", "--locale=C"],
            capture_output=True, text=True, user=self._owner, cwd=self.folder, check=False)
        if made.returncode:
            raise NotReady(f"initdb cannot make {self.folder / 'data'}: {made.stderr.strip()}")

    def _require_ours(self) -> None:
        import pwd

        found = pwd.getpwuid(self.folder.stat().st_uid).pw_name
        if found not in ("root", self._owner):
            raise NotReady(f"{self.folder} belongs to {found!r}: whoever made it could read all "
                           "that the server keeps. Delete it")

    def _answers(self, process: int) -> bool:
        """Whether this one does, and not one that another process has started here."""
        asked = subprocess.run([self._programs / "pg_isready", "-q", "-h", self.folder],
                               check=False)
        known = self.folder / "data" / "postmaster.pid"
        return asked.returncode == 0 and known.exists() and (
            known.read_text().startswith(f"{process}\n"))

    @property
    def is_up(self) -> bool:
        return self._server.is_up

    @property
    def pid(self) -> int:
        return self._server.pid

    def stop(self) -> None:
        """End it without waiting for its clients to leave; what was committed is there again."""
        self._server.stop(signal.SIGINT)

    def crash(self) -> None:
        """End it at once: as `kill -9` would, but that no process is left behind."""
        self._server.stop(signal.SIGQUIT)


def programs() -> Path:
    """The folder of `initdb` and `postgres`, of the newest version. Raises NotReady."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    newest = max((path.parent for path in OF_DEBIAN.glob("*/bin/initdb")),
                 key=lambda path: float(path.parent.name), default=None)
    if newest is None:
        raise NotReady(f"PostgreSQL is not installed: there is no initdb on the PATH nor in "
                       f"{OF_DEBIAN}. Install it (on Debian: apt-get install postgresql)")
    return newest


def _owner() -> str:
    import pwd

    known = {each.pw_name for each in pwd.getpwall()}
    return next(name for name in OWNERS if name in known)


def _reachable(folder: Path) -> Path:
    """`folder` if another user may come there, else one that is always the same for it."""
    if all(each.exists() and each.stat().st_mode & 0o001 for each in folder.parents):
        return folder
    name = blake2b(str(folder.resolve()).encode(), digest_size=6).hexdigest()
    return Path("/tmp") / f"ml-assets-{name}"
