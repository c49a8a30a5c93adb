"""The Feast objects of all systems, for a repository's `definitions.py`."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from ml_assets.core.project import project
from ml_assets.core.runtime.isolation import Fault, attempt
from ml_assets.core.system import System
from ml_assets.features.declaration import check
from ml_assets.systems import BROKEN, PACKAGES

UNPUBLISHED = "unpublished"
"""The name under which a repository says which systems are broken."""


def published() -> dict[str, object]:
    """What every system's `features.py` declares, by names that are unique in the repository.

    A system whose declarations are broken is left out, and `unpublished` says why, by its name.
    But Feast's own command line deletes what is not declared, so there the first that is broken
    raises: before Feast has written its registry.
    """
    # Feast makes no folder for its registry.
    (project().var / "feast").mkdir(parents=True, exist_ok=True)
    found: dict[str, object] = {}
    unpublished = dict(BROKEN)
    for package, system in PACKAGES.items():
        declares = _of_system(package, system) if _by_feast() else attempt(
            _of_system, package, system)
        if isinstance(declares, Fault):
            unpublished[system.name] = declares.reason
        else:
            found |= declares
    return {**found, UNPUBLISHED: unpublished}


def _of_system(package: str, system: System) -> dict[str, object]:
    declares = vars(import_module(f"{package}.features"))
    check(list(declares.values()))
    return {f"{system.name}__{name}": value for name, value in declares.items() if name[0] != "_"}


def _by_feast() -> bool:
    return Path(sys.argv[0]).name == "feast"
