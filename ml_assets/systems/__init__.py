"""The table of contents: every system that runs here.

The project's own, each a package in its folder `systems/`, and the reference systems that it
names. A checkout of this repository is a project with all reference systems.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from ml_assets.core.errors import DeclarationError, unknown
from ml_assets.core.project import FILE, Project, project
from ml_assets.core.system import System

REFERENCE = ("spam",)
"""The packages beside this file."""


def find(name: str) -> System:
    """The system of this name. Raises UnknownName, offering the closest."""
    for system in SYSTEMS:
        if system.name == name:
            return system
    raise unknown("system", name, (system.name for system in SYSTEMS), "" if SYSTEMS else
                  f"{project().folder} declares none: see `ml-assets new --help`.")


def declared(here: Project) -> dict[str, System]:
    """The systems of a project, by the name of the package that declares each.

    Raises DeclarationError, or whatever a declaration raises when it is imported.
    """
    wanted = REFERENCE if here.reference is None else here.reference
    for name in wanted:
        if name not in REFERENCE:
            raise DeclarationError(f"{here.folder / FILE}: reference names {name!r}; there are "
                                   f"{', '.join(REFERENCE)}")
    found = [import_module(f"{__name__}.{name}") for name in wanted]
    own = sorted(path.parent for path in here.systems.glob("*/__init__.py"))
    if own and str(here.folder) not in sys.path:
        sys.path.append(str(here.folder))  # where every process of the project finds them
    found += [_own(folder) for folder in own]
    systems = {module.__name__: _system(module) for module in found}
    names = [system.name for system in systems.values()]
    for name in names:
        if names.count(name) > 1:
            raise DeclarationError(f"{names.count(name)} systems are called {name!r}; rename one")
    return systems


def _own(folder: Path) -> ModuleType:
    module = import_module(f"systems.{folder.name}")
    if Path(str(module.__file__)).parent != folder:
        raise DeclarationError(
            f"`import systems.{folder.name}` finds {module.__file__}; expected {folder}. Rename or "
            "move whatever else on the Python path is called `systems`"
        )
    return module


def _system(module: ModuleType) -> System:
    """The system that a package declares, whatever others it imports."""
    found = {value.name: value for value in vars(module).values() if isinstance(value, System)}
    package = module.__name__.rpartition(".")[2]
    if package not in found:
        raise DeclarationError(f"{module.__file__} declares the systems {sorted(found)}; expected "
                               f"one called {package!r}, as its folder")
    return found[package]


PACKAGES = declared(project())
SYSTEMS: tuple[System, ...] = tuple(PACKAGES.values())
