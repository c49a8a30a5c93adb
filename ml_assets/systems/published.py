"""The Feast objects of all systems, for a repository's `definitions.py`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from feast import Entity, FeatureService
from feast.base_feature_view import BaseFeatureView
from feast.data_source import DataSource

from ml_assets.core.declaration import listed
from ml_assets.core.errors import DeclarationError
from ml_assets.core.project import project
from ml_assets.core.runtime.isolation import Fault, attempt
from ml_assets.features.declaration import check
from ml_assets.systems import BROKEN, PACKAGES

UNPUBLISHED = "unpublished"
"""The name under which a repository says which systems are broken."""


def published() -> dict[str, object]:
    """What every system's `features.py` declares, by names that are unique in the repository.

    A system whose declarations are broken is left out, and `unpublished` says why, by its name;
    so are systems that declare different things under one name, which Feast would take for one.
    But Feast's own command line deletes what is not declared, so there the first that is broken
    raises: before Feast has written its registry.
    """
    # Feast makes no folder for its registry.
    (project().var / "feast").mkdir(parents=True, exist_ok=True)
    unpublished = dict(BROKEN)
    declared: dict[str, dict[str, object]] = {}
    for package, system in PACKAGES.items():
        found = attempt(_of_system, package)
        if isinstance(found, Fault):
            unpublished[system.name] = found.reason
        else:
            declared[system.name] = found
    unpublished |= clashes(declared)
    unpublished |= missing_lenders(declared, unpublished)
    if unpublished and Path(sys.argv[0]).name == "feast":
        raise DeclarationError("; ".join(f"system {name!r} is broken: {reason}"
                                         for name, reason in unpublished.items()))
    objects = {f"{name}__{each}": value for name, values in declared.items()
               if name not in unpublished for each, value in values.items()}
    return {**objects, UNPUBLISHED: unpublished}


def clashes(declared: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """Why systems cannot stand beside each other, by name.

    An entity may be declared by several, if all declare the same. No view or service may: whoever
    feeds or trains one would feed and train the other's. An object that one system has imported
    from another is declared once.
    """
    seen: dict[tuple[str, str], tuple[str, object]] = {}
    found: dict[str, str] = {}
    for system, values in declared.items():
        for value in values.values():
            kind = next((kind for kind in KINDS if isinstance(value, kind)), None)
            if kind is None:
                continue
            name = str(value.name)  # type: ignore[attr-defined]
            other, first = seen.setdefault((kind.__name__, name), (system, value))
            if other != system and first is not value and not (
                    kind is Entity and first == value):
                reason = (f"systems {other!r} and {system!r} both declare "
                          f"{KINDS[kind]} {name!r}; rename one")
                found |= {other: reason, system: reason}
    return found


def missing_lenders(
    declared: Mapping[str, Mapping[str, object]], broken: Mapping[str, str]
) -> dict[str, str]:
    """Why systems cannot read the views of others that they have imported, by name.

    broken: why systems are not published. A view counts a stream of its system, which must run.
    """
    found: dict[str, str] = {}
    while True:
        lost = {system: reason for system, values in declared.items()
                if system not in found and system not in broken
                and (reason := _lost_view(system, values, declared, {**broken, **found}))}
        if not lost:
            return found
        found |= lost


def _lost_view(
    system: str, values: Mapping[str, object], declared: Mapping[str, Mapping[str, object]],
    broken: Mapping[str, str],
) -> str | None:
    for value in values.values():
        if not isinstance(value, BaseFeatureView):
            continue
        owner = value.tags.get("system", system)
        if owner == system:
            continue
        said = f"system {system!r} uses the feature view {value.name!r} of {owner!r}, which "
        if owner in broken:
            return f"{said}is broken: {broken[owner]}"
        if owner not in declared:
            return (f"{said}this project does not run; it runs {listed(sorted(declared))}. Name "
                    f"{owner!r} in `reference`, or take the view out of {system}/features.py")
    return None


def _of_system(package: str) -> dict[str, object]:
    declares = vars(import_module(f"{package}.features"))
    check(list(declares.values()))
    return {name: value for name, value in declares.items() if name[0] != "_"}


KINDS: dict[type, str] = {Entity: "an entity", FeatureService: "a feature service",
                          BaseFeatureView: "a feature view", DataSource: "a source"}
"""What Feast knows by one name in a whole repository."""
