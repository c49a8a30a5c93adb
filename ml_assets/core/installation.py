"""The folder of an installation: created, recognised and checked.

A marker makes a folder an installation. A new or empty folder becomes one; so does a folder of an
earlier version, which had no marker, if a file in it proves that it is ours. Any other folder is
rejected, so nothing that belongs to anybody else is ever deleted.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from ml_assets.core.errors import InstallationRefused, StateDamaged
from ml_assets.core.project import ROOT, project
from ml_assets.core.settings import Settings
from ml_assets.core.storage.condition import require_sound, trouble_of
from ml_assets.core.storage.files import make_folder, write_atomically
from ml_assets.core.storage.layout import (
    FILES,
    OLD_CLOCK,
    clock_of,
    is_clock,
    is_ours,
    is_state,
    state_in,
)
from ml_assets.core.storage.marker import MARKER, change_notes, read_marker, write_marker
from ml_assets.core.storage.modes import mend_modes

OTHER = "Set ML_ASSETS_VAR to a new or empty folder"
DAGSTER_HEAD = b"# Written by ml-assets"
SHOWN = 3


def claim(settings: Settings, needs: Collection[str] | None = None) -> None:
    """Make sure that `settings.var` is our installation, its files sound and closed to others.

    For every command that works on it. Whatever this process creates from now on is readable by
    its owner only. Takes a few milliseconds.

    needs: the files of `core.layout` that the command cannot work without, beside the clocks; all
    by default. In an emergency a different one may be the broken one

    Raises InstallationRefused if the folder is not ours, StateDamaged if a file in it cannot be
    used. Each is one line that says what to do.
    """
    os.umask(0o077)
    _require_possible(settings.var)
    try:
        if read_marker(settings.var) is None:
            _adopt(settings.var, settings.cache)
        mend_modes(settings.var)
    except OSError as error:
        if isinstance(error, StateDamaged):
            raise
        raise InstallationRefused(
            f"{settings.var} cannot be an installation's folder: {error.strerror} "
            f"({error.filename}). Set ML_ASSETS_VAR to a folder that can be created and written"
        ) from error
    check(settings, needs)
    share_old_clock(settings.var)
    _note_new(settings.var)


def share_old_clock(var: Path) -> None:
    """Give each system that has run here a copy of the one clock of an earlier version."""
    old = var / OLD_CLOCK.name
    if not old.exists():
        return
    for folder in sorted((var / "lake").glob("*/")):
        own = var / clock_of(folder.name).name
        if not own.exists():
            write_atomically(own, old.read_bytes())
            change_notes(var, add=(clock_of(folder.name).name,))
    old.unlink(missing_ok=True)
    change_notes(var, drop=(OLD_CLOCK.name,))


def opened(needs: Collection[str] | None = None) -> Settings:
    """The environment's settings, on an installation that is ours and sound; see `claim`."""
    settings = Settings.from_environment()
    claim(settings, needs)
    return settings


def check(settings: Settings, needs: Collection[str] | None = None) -> None:
    """Raise StateDamaged if a file of the installation cannot be used. Writes nothing.

    Raises InstallationRefused if the folder belongs to something else.
    """
    marker = None
    if settings.var.is_dir():
        require_ours(settings)
        marker = read_marker(settings.var)
    made = () if marker is None else marker.files
    for about in state_in(settings.var, made):
        if needs is not None and about.name not in needs and not is_clock(about):
            continue
        require_sound(settings.var / about.name, about, made=about.name in made)


def require_marked(var: Path) -> None:
    """Raise InstallationRefused if the folder has no marker: nothing in it may be deleted."""
    _require_possible(var)
    if read_marker(var) is None:
        raise InstallationRefused(
            f"{var} has no {MARKER}, so nothing in it is deleted. {OTHER}; to start afresh here, "
            "move its contents away yourself"
        )


def require_ours(settings: Settings) -> None:
    """Raise InstallationRefused if the folder neither is an installation nor can become one."""
    _require_possible(settings.var)
    try:
        marked = (settings.var / MARKER).exists()
    except OSError as error:
        raise InstallationRefused(
            f"{settings.var} cannot be read: {error.strerror}. Let its owner run this command, or "
            "set ML_ASSETS_VAR to another folder"
        ) from error
    if not marked:
        _require_adoptable(settings.var, settings.cache)


def mark_anew(settings: Settings) -> None:
    """Rewrite a damaged marker, if everything else in the folder is ours.

    Raises InstallationRefused.
    """
    _require_possible(settings.var)
    _adopt(settings.var, settings.cache)


def _require_possible(var: Path) -> None:
    """Raise InstallationRefused for a folder that holds much more than an installation."""
    var = var.resolve()
    with suppress(RuntimeError):  # of a user without a home
        home = Path.home().resolve()
        if var == home or var in home.parents:
            raise InstallationRefused(
                f"{var} is {'your home' if var == home else 'above your home'}; it cannot be an "
                f"installation's folder. {OTHER}")
    if var == ROOT or var in ROOT.parents:
        raise InstallationRefused(
            f"{var} holds the program itself; it cannot be an installation's folder. {OTHER}")
    if (own := project().folder.resolve()) == var or var in own.parents:
        raise InstallationRefused(
            f"{var} holds your project, {own}; it cannot be an installation's folder. {OTHER}")


def _adopt(var: Path, cache: Path) -> None:
    """Mark a folder that is new, empty or, without a marker, clearly ours."""
    make_folder(var)
    _require_adoptable(var, cache)
    there = [about for about in state_in(var) if os.path.lexists(var / about.name)]
    write_marker(var, tuple(about.name for about in there
                            if not about.is_folder or not _is_bare(var / about.name)))


def _require_adoptable(var: Path, cache: Path) -> None:
    foreign = strangers(var, cache)
    if not _is_proved(var) and (foreign or _has_state(var)):
        there = [path.name for path in (foreign or sorted(var.iterdir()))]
        raise InstallationRefused(
            f"{var} is not an installation: it has no {MARKER}, and holds {_listed(there)}. {OTHER}"
        )


def _is_proved(var: Path) -> bool:
    """Whether some file here can only be ours."""
    with suppress(OSError):
        if (var / "dagster" / "dagster.yaml").read_bytes().startswith(DAGSTER_HEAD):
            return True
    return any(
        about.proof is not None and not about.name.startswith(("dagster", "mlflow"))
        and (var / about.name).exists() and trouble_of(var / about.name, about, made=True) is None
        for about in (OLD_CLOCK, *FILES)
    )


def _has_state(var: Path) -> bool:
    """Whether the folder holds something that a run makes, apart from empty folders.

    Loading the definitions creates `feast/`, for example.
    """
    return any(is_state(path.name) and not _is_bare(path) for path in var.iterdir())


def _is_bare(folder: Path) -> bool:
    """Whether it is a folder that contains no link and no file but locks at any depth."""
    return (not folder.is_symlink() and folder.is_dir()
            and all((path.is_dir() or path.suffix == ".lock") and not path.is_symlink()
                    for path in folder.rglob("*")))


def strangers(var: Path, cache: Path) -> list[Path]:
    """Entries of the folder that do not belong to an installation."""
    return [path for path in sorted(var.iterdir())
            if not is_ours(path.name) and path != cache and path not in cache.parents]


def _note_new(var: Path) -> None:
    """List the files created since the marker was written."""
    marker = read_marker(var)
    assert marker is not None
    change_notes(var, add=tuple(
        about.name for about in state_in(var)
        if about.name not in marker.files and (var / about.name).exists()
        and trouble_of(var / about.name, about, made=True) is None
    ))


def _listed(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
