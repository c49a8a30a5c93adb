"""The Feast objects of all systems, for a repository's `definitions.py`."""

from __future__ import annotations

from importlib import import_module

from ml_assets.core.project import project
from ml_assets.features.declaration import check
from ml_assets.systems import PACKAGES


def published() -> dict[str, object]:
    """What every system's `features.py` declares, by names that are unique in the repository.

    Raises DeclarationError or UnknownName where a windowed view is wrong: `feast apply` then
    fails before it writes, where our stores would fail only after Feast has written its registry.
    """
    # Feast makes no folder for its registry.
    (project().var / "feast").mkdir(parents=True, exist_ok=True)
    found: dict[str, object] = {}
    for package, system in PACKAGES.items():
        declares = vars(import_module(f"{package}.features"))
        check(list(declares.values()))
        found |= {f"{system.name}__{name}": value for name, value in declares.items()
                  if name[0] != "_"}
    return found
