"""The marker of an installation: a file that says "this folder is ours", and what it contains.

`<var>/installation.json`. Only in a folder with a marker is anything ever deleted. The marker also
lists the files of `core.layout` that were created, so one that is missing later is a loss, not a
beginning.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from ml_assets.core.errors import StateDamaged
from ml_assets.core.storage.files import make_private, write_atomically

MARKER = "installation.json"
LOCK = "installation.lock"
PRODUCT = "ml-assets"
FORMAT = 1
"""Of the folder as a whole."""
DEPTH = 3
"""How deep below the installation's folder a file of `core.layout` may be."""


@dataclass(frozen=True, kw_only=True)
class Marker:
    """made_at: when the folder became an installation, UTC; files: created in it, relative."""

    made_at: str
    files: tuple[str, ...] = ()


def read_marker(var: Path) -> Marker | None:
    """The marker of the folder `var`; None if it has none.

    Raises StateDamaged if it cannot be read, is not ours or comes from a newer version.
    """
    path = var / MARKER
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StateDamaged(f"the marker {path} cannot be read: {error.strerror}. Make it a file "
                           "that its owner can read, or delete it: the next command recreates it"
                           ) from error
    if not text.strip():
        raise _damaged(path, "is empty")
    try:
        said = json.loads(text)
        product, written = said["product"], said["format"]
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(path, "is damaged") from error
    if product != PRODUCT:
        raise StateDamaged(f"the marker {path} is foreign: it belongs to {product!r}. Set "
                           "ML_ASSETS_VAR to another folder")
    if written != FORMAT:
        raise StateDamaged(
            f"the installation {var} has format {written!r} by {path}; this version of ml-assets "
            f"knows {FORMAT}. Install the newer version that wrote it")
    try:
        return Marker(made_at=str(said["made_at"]), files=tuple(map(str, said["files"])))
    except (TypeError, KeyError) as error:
        raise _damaged(path, "is damaged") from error


def write_marker(var: Path, files: Iterator[str] | tuple[str, ...] = ()) -> None:
    """Mark `var` as an installation in which these files were created."""
    _write(var, Marker(made_at=datetime.now(UTC).isoformat(timespec="seconds"),
                       files=tuple(sorted(files))))


def note(path: Path) -> None:
    """Add a newly created file to the marker of its installation, if it is in one."""
    var = _installation_of(path)
    if var is not None and not is_noted(path):
        change_notes(var, add=(path.relative_to(var).as_posix(),))


def is_noted(path: Path) -> bool:
    """Whether this file was created in its installation before, so it must exist."""
    var = _installation_of(path)
    marker = None if var is None else read_marker(var)
    return (marker is not None and var is not None
            and path.relative_to(var).as_posix() in marker.files)


def require_new(path: Path) -> None:
    """Raise StateDamaged if a file is missing that was created in its installation before."""
    if not path.exists() and is_noted(path):
        raise StateDamaged(f"{path} is missing, though it once existed; an empty one in its "
                           "place would look fine. `ml-assets doctor` says what to do")


def change_notes(var: Path, *, add: tuple[str, ...] = (), drop: tuple[str, ...] = ()) -> None:
    """Change the list of created files."""
    with _locked(var):
        marker = read_marker(var)
        if marker is None:
            return
        files = tuple(sorted({*marker.files, *add}.difference(drop)))
        if files != marker.files:
            _write(var, replace(marker, files=files))


def _write(var: Path, marker: Marker) -> None:
    said = {"product": PRODUCT, "format": FORMAT, "made_at": marker.made_at,
            "files": list(marker.files)}
    write_atomically(var / MARKER, json.dumps(said, indent=1).encode() + b"\n")


def _installation_of(path: Path) -> Path | None:
    return next((folder for folder in list(path.parents)[:DEPTH] if (folder / MARKER).exists()),
                None)


@contextmanager
def _locked(var: Path) -> Iterator[None]:
    make_private(var / LOCK)
    with (var / LOCK).open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _damaged(path: Path, how: str) -> StateDamaged:
    return StateDamaged(f"the marker {path} {how}. `ml-assets doctor --mend` recreates it from "
                        "the files beside it")
