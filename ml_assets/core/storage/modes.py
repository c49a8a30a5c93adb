"""Who may read an installation: its owner only."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ml_assets.core.storage.files import PRIVATE_FILE, PRIVATE_FOLDER
from ml_assets.core.storage.layout import SQLITE_SIDES, is_ours

OTHERS = 0o077


def mend_modes(var: Path, *, deep: bool = False) -> list[Path]:
    """Restrict the folder and our files in it to the owner; return the changed paths.

    Without `deep`: the folder, its direct entries and its databases, in about 0.1 ms. Files of
    other users stay as they are: `open_to_others` reports them.
    """
    mended = []
    for path in open_to_others(var, deep=deep):
        with suppress(PermissionError, FileNotFoundError):
            path.chmod(PRIVATE_FOLDER if path.is_dir() else PRIVATE_FILE)
            mended.append(path)
    return mended


def open_to_others(var: Path, *, deep: bool = True) -> Iterator[Path]:
    """Everything that others may read, write or enter. Symbolic links are not followed."""
    for path in _ours(var, deep=deep):
        try:
            mode = path.lstat().st_mode
        except OSError:
            continue  # it has disappeared meanwhile
        if mode & OTHERS and (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            yield path


def _ours(var: Path, *, deep: bool) -> Iterator[Path]:
    yield var
    for path in sorted(var.iterdir()):
        if not is_ours(path.name) or path.name == "cache" or path.is_symlink():
            continue
        yield path
        if not path.is_dir():
            continue
        try:
            inside = list(path.rglob("*") if deep else path.iterdir())
        except PermissionError:
            continue  # whoever needs it reports that it cannot be read
        yield from (each for each in inside if deep or _is_database(each.name))


def _is_database(name: str) -> bool:
    for side in SQLITE_SIDES:
        name = name.removesuffix(side)
    return name.endswith((".sqlite", ".db"))
