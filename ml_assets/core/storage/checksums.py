"""Checksums of a model's files: the served model is the stored one, to the bit."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from ml_assets.core.errors import ModelRefused
from ml_assets.core.storage.files import write_atomically

NAME = "checksums.json"
"""The file that lists the SHA-256 of every other file of the folder."""
ADVICE = "Restore it from a backup, roll back to an earlier version, or train again"
log = logging.getLogger(__name__)


def of_parts(folder: Path, parts: Sequence[str]) -> str:
    """One SHA-256 over the names and contents of some files and folders in `folder`.

    parts: their names; a missing one counts as missing. What Python compiled of modules that
    lie there counts for nothing. About a second per GB.
    """
    files = [path for part in parts for path in [folder / part, *_files(folder / part)]
             if path.is_file()]
    listed = {path.relative_to(folder).as_posix(): _of(path) for path in files}
    return sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()


def require_same(folder: Path, parts: Sequence[str], stored: str | None, what: str) -> None:
    """Raise ModelRefused unless the parts are unchanged since `stored` was computed.

    stored: from `of_parts`; None for a model from before checksums, which is accepted with a
    warning in the log
    """
    if stored is None:
        log.warning("%s was stored before checksums existed: damage to its files may go unnoticed. "
                    "Retrain to have them", what)
        return
    try:
        found = of_parts(folder, parts)
    except OSError as error:
        raise ModelRefused(f"{what} cannot be read: {error}. {ADVICE}") from error
    if found != stored:
        raise ModelRefused(f"the files of {what} in {folder} are not those that were registered: "
                           f"their checksum is {found[:12]}, registered {stored[:12]}. {ADVICE}")


def write_checksums(folder: Path) -> None:
    """List all files of the folder, for `verify`."""
    listed = {path.name: _of(path) for path in _files(folder) if path.name != NAME}
    write_atomically(folder / NAME, json.dumps(listed, indent=1).encode() + b"\n")


def verify(folder: Path) -> bool:
    """Whether the folder has a list of checksums, and all its files match it.

    False without a list. Raises ModelRefused, naming the file, if one differs, is missing or is
    not listed.
    """
    try:
        listed = json.loads((folder / NAME).read_bytes())
        found = {path.name: _of(path) for path in _files(folder) if path.name != NAME}
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise ModelRefused(f"{folder / NAME} cannot be read: {error}. {ADVICE}") from error
    if not isinstance(listed, dict):
        raise ModelRefused(f"{folder / NAME} is damaged: it lists nothing. {ADVICE}")
    for name in sorted({*listed, *found}):
        if name not in found:
            raise ModelRefused(f"{folder / name} is missing. {ADVICE}")
        if name not in listed:
            raise ModelRefused(f"{folder / name} is not a file of the model. Delete it")
        if listed[name] != found[name]:
            raise ModelRefused(f"{folder / name} is damaged: its checksum is {found[name][:12]}, "
                               f"stored {str(listed[name])[:12]}. {ADVICE}")
    return True


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*")
                  if path.is_file() and path.parent.name != "__pycache__")


def _of(path: Path) -> str:
    with path.open("rb") as file:
        digest = sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()
