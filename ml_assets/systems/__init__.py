"""The table of contents: every system that runs here.

The project's own, each a package in its folder `systems/`, and the reference systems that it
names. A checkout of this repository is a project with all reference systems.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

from ml_assets.core.errors import DeclarationError, unknown
from ml_assets.core.project import FILE, Project, project
from ml_assets.core.runtime.isolation import Fault, attempt
from ml_assets.core.system import System

REFERENCE = ("spam", "fraud", "movies", "shop", "trends")
"""The packages beside this file."""


def find(name: str) -> System:
    """The system of this name. Raises UnknownName, offering the closest, and DeclarationError if
    its declaration cannot be loaded.
    """
    for system in SYSTEMS:
        if system.name == name:
            return system
    if name in BROKEN:
        raise DeclarationError(f"the declaration of {name!r} is broken: {BROKEN[name]}")
    raise unknown("system", name, (system.name for system in SYSTEMS), "" if SYSTEMS else
                  f"{project().folder} declares none: see `ml-assets new --help`.")


def declared(here: Project) -> tuple[dict[str, System], dict[str, str]]:
    """The systems of a project, by the name of the package that declares each; and why others
    cannot be loaded, by their folders' names. A broken declaration stops no other system.

    Raises DeclarationError if the project names a reference system that there is not.
    """
    wanted = REFERENCE if here.reference is None else here.reference
    for name in wanted:
        if name not in REFERENCE:
            raise DeclarationError(f"{here.folder / FILE}: reference names {name!r}; there are "
                                   f"{', '.join(REFERENCE)}")
    own = sorted(path.parent for path in here.systems.glob("*/__init__.py"))
    if own and str(here.folder) not in sys.path:
        sys.path.append(str(here.folder))  # where every process of the project finds them
    loads: dict[str, Callable[[], ModuleType]] = {
        f"{__name__}.{name}": partial(import_module, f"{__name__}.{name}") for name in wanted}
    loads |= {f"systems.{folder.name}": partial(_own, folder) for folder in own}
    systems: dict[str, System] = {}
    broken: dict[str, str] = {}
    for package, load in loads.items():
        system = attempt(lambda load=load: _system(load()))  # type: ignore[misc]
        name = package.rpartition(".")[2]
        if isinstance(system, Fault):
            broken[name] = system.reason
        elif any(each.name == name for each in systems.values()):
            broken[name] = f"two packages declare a system {name!r}; rename one"
        else:
            systems[package] = system
    return {package: each for package, each in systems.items() if each.name not in broken}, broken


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


PACKAGES, BROKEN = declared(project())
"""The systems by their packages; and why others cannot be loaded, by their names."""
SYSTEMS: tuple[System, ...] = tuple(PACKAGES.values())
