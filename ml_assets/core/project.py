"""The folder in which somebody's own systems live.

A project is a folder whose `pyproject.toml` has a table `[tool.ml_assets]`. It holds `systems/`,
one package for each system, `feature_repo/`, for the Feast command line, and by default `var/`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.core.declaration import closest
from ml_assets.core.errors import DeclarationError

if TYPE_CHECKING:
    from ml_assets.core.system import System

ROOT = Path(__file__).resolve().parents[2]
"""What holds the program: a checkout, or the `site-packages` of an environment."""

PACKAGED_REPO = ROOT / "ml_assets" / "feature_repo"
"""The feature repository of whoever has none: it publishes what all systems declare."""

SYSTEMS = "ml_assets.systems"
"""The module that finds systems; named, as in feature_store.yaml, since it knows the rooms that ask
it.
"""

FILE, TABLE = "pyproject.toml", "tool.ml_assets"
KNOWN = ("reference",)


@dataclass(frozen=True, kw_only=True)
class Project:
    """What a folder says about itself.

    reference: names of reference systems that run here too; None if all do
    """

    folder: Path
    reference: tuple[str, ...] | None = None

    @property
    def systems(self) -> Path:
        """A package for each system. Need not exist."""
        return self.folder / "systems"

    @property
    def feature_repo(self) -> Path:
        """Feast's repository: the project's, or the one in the package."""
        own = self.folder / "feature_repo"
        return own if (own / "feature_store.yaml").exists() else PACKAGED_REPO

    @property
    def var(self) -> Path:
        """Where state lies unless ML_ASSETS_VAR says otherwise."""
        return self.folder / "var"


@cache
def project() -> Project:
    """This process's project.

    It is the folder that ML_ASSETS_PROJECT names; otherwise the working directory or the closest
    folder above it that is a project; otherwise the checkout from which the program runs;
    otherwise the working directory, with the reference systems and nothing else.
    Raises DeclarationError.
    """
    named = os.environ.get("ML_ASSETS_PROJECT")
    if named is not None:
        return _named(named)
    here = Path.cwd()
    for folder in (here, *here.parents, ROOT):
        if (found := read_project(folder)) is not None:
            return found
    return Project(folder=here)


def systems_in(module: str) -> Callable[[str], System]:
    """`find` of the module of that name, imported when it is asked."""
    def find(name: str) -> System:
        system: System = import_module(module).find(name)
        return system

    return find


def all_systems() -> tuple[System, ...]:
    """Every system that runs here and whose declaration is sound."""
    systems: tuple[System, ...] = import_module(SYSTEMS).SYSTEMS
    return systems


def read_project(folder: Path) -> Project | None:
    """The project in `folder`; None if it is none. Raises DeclarationError if it says nonsense."""
    path = folder / FILE
    try:
        said = tomllib.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DeclarationError(f"{path} is no TOML: {error}") from error
    table = said.get("tool", {}).get("ml_assets")
    if table is None:
        return None
    if not isinstance(table, dict):
        raise DeclarationError(f"{path}: {TABLE} is {table!r}; expected a table, [{TABLE}]")
    for key in table:
        if key not in KNOWN:
            raise DeclarationError(f"{path}: [{TABLE}] has {key!r}, which nothing reads; expected "
                                   f"{', '.join(KNOWN)}.{closest(key, KNOWN)}")
    reference = table.get("reference", [])
    if not isinstance(reference, list) or not all(isinstance(each, str) for each in reference):
        raise DeclarationError(f"{path}: [{TABLE}] reference is {reference!r}; expected a list of "
                               "names")
    return Project(folder=folder, reference=tuple(reference))


def _named(name: str) -> Project:
    folder = Path(name).resolve()
    found = read_project(folder) if name.strip() else None
    if found is None:
        raise DeclarationError(
            f"ML_ASSETS_PROJECT is {name!r}, which is no project: {folder / FILE} with a table "
            f"[{TABLE}] is missing. `ml-assets init <folder>` makes one"
        )
    return found
