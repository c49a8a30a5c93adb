"""Folders whose files are this host's copies of what all hosts share: who writes sends, who reads
fetches.

Without such a folder, in the profile `local`, each call costs a look at an empty dict.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Protocol

from ml_assets.core.errors import ObjectsUnavailable

log = logging.getLogger(__name__)

FOLLOW_S = 5.0
"""How often a file that is being served is compared with everybody's."""


class Shared(Protocol):
    """What the files of a folder are copies of. Each call may raise ObjectsUnavailable."""

    @property
    def url(self) -> str: ...

    def send(self, file: Path, path: Path) -> None:
        """Let `file` be what everybody finds at `path`, whole or not at all."""

    def fetch(self, folder: Path, names: Sequence[str] = ()) -> None:
        """Make the files of the folder and below it what everybody finds there now; only those of
        `names`, and what lies between them, if there are some."""

    def names(self, folder: Path) -> list[str]:
        """The names of the files in the folder, whether or not they were fetched."""

    def remove(self, path: Path) -> None:
        """Delete a file, or a folder with all in it, for everybody."""


_mounted: dict[Path, Shared] = {}


def mount(folder: Path, url: str, make: Callable[[Path, str], Shared]) -> Path:
    """From now on, in this process, the files of `folder` are copies of what lies at `url`."""
    there = _mounted.get(folder)
    if there is None or there.url != url:
        _mounted[folder] = make(folder, url)
    return folder


def shared_at(path: Path) -> Shared | None:
    """What the file at `path` is a copy of; None if it is a file of this host alone."""
    if not _mounted:
        return None
    return next((shared for folder, shared in _mounted.items()
                 if folder == path or folder in path.parents), None)


def send(file: Path, path: Path) -> None:
    """Before `file` becomes the copy at `path`: give it to everybody."""
    if (shared := shared_at(path)) is not None:
        shared.send(file, path)


def current(path: Path) -> Path:
    """The file at `path`, as it is now for everybody; it may not be there."""
    if (shared := shared_at(path)) is not None:
        shared.fetch(path.parent, [path.name])
    return path


def current_all(paths: Sequence[Path]) -> Sequence[Path]:
    """The same for files of one folder, in one question: names close to each other are best."""
    if _mounted and paths and (shared := shared_at(paths[0])) is not None:
        shared.fetch(paths[0].parent, [path.name for path in paths])
    return paths


def current_folder(folder: Path) -> Path:
    """The same for all files in a folder and below it."""
    if (shared := shared_at(folder)) is not None:
        shared.fetch(folder)
    return folder


def listed(folder: Path, pattern: str) -> Iterable[Path]:
    """The files of a folder by a pattern of their names. Their content may be of earlier."""
    if (shared := shared_at(folder)) is None:
        return folder.glob(pattern)
    return [folder / name for name in shared.names(folder) if fnmatchcase(name, pattern)]


class FollowedFile:
    """A file that is read from while it is followed: a reader never waits for its successor."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._due, self._asking = 0.0, Thread()

    def look(self) -> Path:
        """The latest that has come to this host; begins to ask for a later one if it is time."""
        if _mounted and monotonic() >= self._due and not self._asking.is_alive():
            self._due = monotonic() + FOLLOW_S
            self._asking = Thread(target=self._ask, name="followed", daemon=True)
            self._asking.start()
        return self._path

    def _ask(self) -> None:
        try:
            current(self._path)
        except ObjectsUnavailable as error:
            log.warning("%s stays as it is: %s", self._path, error)


def remove(path: Path) -> None:
    """Delete a file of everybody's, if there is one; of a file of this host, nothing but it."""
    if (shared := shared_at(path)) is not None:
        shared.remove(path)
    if not path.is_dir():
        path.unlink(missing_ok=True)
