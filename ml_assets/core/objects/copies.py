"""A folder of this host whose files are copies of objects.

A copy is current if its note says so: which object it is of, and which file it is. Notes lie in a
tree of their own, `.etags`, beside the copies; without its note a copy is fetched again, so the
whole folder may be deleted at any time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp

from ml_assets.core.objects.bucket import AT_ONCE, Bucket
from ml_assets.core.storage.mounts import mount

NOTES = ".etags"


@dataclass(frozen=True)
class Copies:
    """See `mounts.Shared`. Objects have the names of their files, relative to `folder`."""

    folder: Path
    url: str

    @property
    def _bucket(self) -> Bucket:
        return Bucket.parse(self.url)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _note(self, path: Path) -> Path:
        return self.folder / NOTES / path.relative_to(self.folder)

    def send(self, file: Path, path: Path) -> None:
        self._write_note(path, self._bucket.put(file, self._name(path)), file)

    def fetch(self, folder: Path, names: Sequence[str] = ()) -> None:
        within = "" if folder == self.folder else f"{self._name(folder)}/"
        first, last = (min(names), max(names)) if names else ("", "")
        # A name alone is its own prefix.
        prefix = f"{within}{first}" if first == last else within
        there = set[Path]()
        for each in self._bucket.list(prefix, f"{within}{first}" if first else "",
                                      len(names) + 1 if names else AT_ONCE):
            if last and each.name > f"{within}{last}":
                break
            path = self.folder / each.name
            there.add(path)
            if not self._is_current(path, each.etag):
                self._download(path, each.name)
        here = [folder / name for name in names] if names else folder.rglob("*")
        for path in here:
            if path not in there and not path.name.startswith(".") and path.is_file():
                self._drop(path)

    def names(self, folder: Path) -> list[str]:
        within = f"{self._name(folder)}/"
        found = (each.name.removeprefix(within) for each in self._bucket.list(within))
        return [name for name in found if "/" not in name]

    def remove(self, path: Path) -> None:
        self._bucket.delete(self._name(path))

    def _is_current(self, path: Path, etag: str) -> bool:
        try:
            return self._note(path).read_text() == _told(etag, path)
        except (OSError, ValueError):
            return False

    def _write_note(self, path: Path, etag: str, file: Path) -> None:
        """Before `file` is renamed to `path`: whoever dies in between has a note of no file."""
        note = self._note(path)
        note.parent.mkdir(0o700, parents=True, exist_ok=True)
        note.write_text(_told(etag, file))

    def _download(self, path: Path, name: str) -> None:
        path.parent.mkdir(0o700, parents=True, exist_ok=True)
        descriptor, temporary = mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(descriptor)
        file = Path(temporary)
        try:
            etag = self._bucket.get(name, file)
            if etag is not None:  # else it was deleted since it was listed
                self._write_note(path, etag, file)
                file.replace(path)
        finally:
            file.unlink(missing_ok=True)

    def _drop(self, path: Path) -> None:
        """Delete the copy of an object that was not listed, unless it was stored since then."""
        note, name = self._note(path), self._name(path)
        told = note.read_text() if note.exists() else None
        if NOTES in path.parts or any(each.name == name for each in self._bucket.list(name, "", 1)):
            return
        if told is None or note.read_text() == told:
            path.unlink(missing_ok=True)
            note.unlink(missing_ok=True)


def _told(etag: str, file: Path) -> str:
    about = file.stat()
    return f"{etag} {about.st_ino} {about.st_mtime_ns} {about.st_size}"


def mounted(folder: Path, url: str) -> Path:
    """`folder`, whose files are copies of the objects at `url` from now on."""
    return mount(folder, url, Copies)
