"""Who may read an installation: its owner alone."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ml_assets.core.storage.files import PRIVATE_FILE, PRIVATE_FOLDER
from ml_assets.core.storage.layout import SQLITE_SIDES, is_ours

OTHERS = 0o077


def mend_modes(var: Path, *, deep: bool = False) -> list[Path]:
    """Close the folder and what is ours in it to others than the owner; what was changed.

    Without `deep` the folder, what lies directly in it and its databases: some 0.1 ms. What
    belongs to another user stays as it is: `open_to_others` finds it.
    """
    mended = []
    for path in open_to_others(var, deep=deep):
        with suppress(PermissionError, FileNotFoundError):
            path.chmod(PRIVATE_FOLDER if path.is_dir() else PRIVATE_FILE)
            mended.append(path)
    return mended


def open_to_others(var: Path, *, deep: bool = True) -> Iterator[Path]:
    """What others than the owner may read, write or enter. Links are not followed."""
    for path in _ours(var, deep=deep):
        try:
            mode = path.lstat().st_mode
        except OSError:
            continue  # it went away meanwhile
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
            continue  # what cannot be read is named by whoever needs it
        yield from (each for each in inside if deep or _is_database(each.name))


def _is_database(name: str) -> bool:
    for side in SQLITE_SIDES:
        name = name.removesuffix(side)
    return name.endswith((".sqlite", ".db"))
