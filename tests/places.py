"""Where records lie in tests: in a file, or in a schema of the tests' own PostgreSQL server."""

from __future__ import annotations

import shlex
from itertools import count
from pathlib import Path

from ml_assets.core.profiles.cluster import Cluster
from ml_assets.core.settings import Settings
from ml_assets.core.storage.places import Place, PostgresTables

KINDS = ("sqlite", "postgres")
"""A record's kind in the profiles local and cluster."""

_numbers = count()


def file_of(place: Place) -> Path:
    """The file of a record that is in one."""
    assert isinstance(place, Path)
    return place


def fresh(url: str, proof: str) -> PostgresTables:
    """Tables that nobody has made."""
    return PostgresTables(url, f"test_{next(_numbers)}", proof)


def cluster_at(url: str, shared: Path | None = None, objects: str = "") -> Cluster:
    """A cluster that nobody has used."""
    return Cluster(
        postgres=url, schema=f"test_{next(_numbers)}", shared=shared, objects=objects)


def environment(settings: Settings) -> dict[str, str]:
    """What makes `Settings.from_environment` find the same installation."""
    found = {"ML_ASSETS_VAR": str(settings.var), "ML_ASSETS_PROFILE": settings.profile}
    if settings.cluster is not None:
        found |= {"ML_ASSETS_POSTGRES": settings.cluster.postgres,
                  "ML_ASSETS_SCHEMA": settings.cluster.schema}
        if settings.cluster.shared is not None:
            found["ML_ASSETS_SHARED"] = str(settings.cluster.shared)
        if settings.cluster.objects:
            found["ML_ASSETS_OBJECTS"] = settings.cluster.objects
    return found


def told(place: Place) -> str:
    """A place as another process is told of it; `place_of` reads it."""
    return str(place) if isinstance(place, Path) else f"{place.url} {place.schema} {place.proof}"


def place_of(text: str) -> Place:
    """The inverse of `told`."""
    return PostgresTables(*text.split()) if text.startswith("postgresql:") else Path(text)


def environment_in(path: Path) -> dict[str, str]:
    """What a file that a shell is to read sets."""
    said = (line.partition("=") for line in path.read_text().splitlines())
    return {name: " ".join(shlex.split(value)) for name, _, value in said}
