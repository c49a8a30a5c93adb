"""What the feature repository declares, known without importing Feast.

Feast has no manifest and costs seconds to import, so one is made in a process of its own and
kept in the cache, named by a hash of everything it depends on. Reading it takes milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from ml_assets.core.errors import DeclarationError, MlAssetsError, unknown
from ml_assets.core.files import write_atomically
from ml_assets.core.settings import ROOT, Settings
from ml_assets.core.system import System

REPO = ROOT / "feature_repo"


class FeatureRepoError(MlAssetsError, RuntimeError):
    """The feature repository cannot be read. The message ends with Feast's own words."""


@dataclass(frozen=True, kw_only=True)
class Aggregate:
    """One feature, computed over the events or labels of an entity in a window.

    kind: `count` of events or labels, `positives` among labels, or their smoothed `rate`,
    `(positives + prior * weight) / (labels + weight)`. See `ml_assets.features.declaration`.
    """

    name: str
    kind: Literal["count", "positives", "rate"]
    over: Literal["events", "labels"]
    window: timedelta
    prior: float = 0.0
    weight: float = 0.0
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class View:
    """A feature view over a table of the lake.

    key: the event column that it joins on; table: the lake table `<system>/<table>`;
    definition: a hash of all that is declared of it.
    """

    name: str
    system: str
    table: str
    key: str
    aggregates: tuple[Aggregate, ...]
    description: str
    definition: str

    @property
    def features(self) -> tuple[str, ...]:
        return tuple(aggregate.name for aggregate in self.aggregates)


@dataclass(frozen=True, kw_only=True)
class Service:
    """A feature service: the features that a model reads, in their order."""

    name: str
    views: tuple[View, ...]
    features: tuple[str, ...]
    description: str

    @property
    def keys(self) -> tuple[str, ...]:
        """The event columns that a reader must supply."""
        return tuple(view.key for view in self.views)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All views and services, by name; `digest` changes when any of them does."""

    views: Mapping[str, View]
    services: Mapping[str, Service]
    digest: str

    def service(self, system: System) -> Service:
        """The feature service that `system` names. Raises UnknownName, offering the closest."""
        try:
            return self.services[system.feature_service]
        except KeyError:
            raise unknown(
                "feature service", system.feature_service, self.services,
                f"System {system.name!r} asks for it; declare it in "
                f"ml_assets/systems/{system.name}/features.py.",
            ) from None


def load_manifest(settings: Settings, repo: Path = REPO) -> Manifest:
    """The manifest of `repo`, made afresh (seconds) only where its sources have changed.

    Raises FeatureRepoError where the repository cannot be imported, DeclarationError where
    what it declares cannot be computed.
    """
    cached = settings.cache / "feast" / f"manifest-{_fingerprint(repo)}.json"
    if not cached.exists():
        write_atomically(cached, _describe(repo), durable=False)
    return parse_manifest(json.loads(cached.read_bytes()))


def parse_manifest(described: Mapping[str, Any]) -> Manifest:
    """Typed from what `describe_repo` prints."""
    sources = {source["name"]: source for source in described["data_sources"]}
    entities = {entity["name"]: entity for entity in described["entities"]}
    views = {}
    for view in described["feature_views"]:
        source, (entity,) = sources[view["batch_source"]], view["entities"]
        views[view["name"]] = View(
            name=view["name"],
            system=view["tags"]["system"],
            table=view["tags"]["table"],
            key=entities[entity]["join_key"],
            aggregates=tuple(_aggregate(view["name"], field) for field in view["features"]),
            description=view.get("description", ""),
            definition=_digest([view, source, entities[entity]]),
        )
    services = {}
    for service in described["feature_services"]:
        chosen = service["features"]
        services[service["name"]] = Service(
            name=service["name"],
            views=tuple(views[part["feature_view_name"]] for part in chosen),
            features=tuple(field["name"] for part in chosen for field in part["feature_columns"]),
            description=service.get("description", ""),
        )
    return Manifest(views=views, services=services, digest=_digest(described))


def _aggregate(view: str, field: Mapping[str, Any]) -> Aggregate:
    tags = field.get("tags", {})
    known = (("count", "events"), ("count", "labels"), ("positives", "labels"), ("rate", "labels"))
    if (tags.get("aggregate"), tags.get("over")) not in known:
        raise DeclarationError(
            f"feature {field['name']!r} of view {view!r} has tags {tags}; declare it with a "
            "function of ml_assets.features.declaration, such as events(name, days=30)"
        )
    return Aggregate(
        name=field["name"],
        kind=tags["aggregate"],
        over=tags["over"],
        window=timedelta(days=int(tags["window_days"])),
        prior=float(tags.get("prior", 0)),
        weight=float(tags.get("weight", 0)),
        description=field.get("description", ""),
    )


def _fingerprint(repo: Path) -> str:
    """Of all files and the Feast version that the description depends on."""
    here = Path(__file__).parent
    systems = here.parent / "systems"
    files = [
        *repo.glob("*.py"), here / "declaration.py", here / "describe_repo.py",
        systems / "__init__.py", *systems.glob("*/features.py"),
    ]
    parts = [f"feast {version('feast')}"]
    parts += [f"{path.name} {_digest(path.read_text())}" for path in sorted(files)]
    return _digest(parts)


def _describe(repo: Path) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "ml_assets.features.describe_repo", str(repo)],
        cwd=ROOT, capture_output=True, check=False,
    )
    if done.returncode != 0:
        said = "\n".join(done.stderr.decode(errors="replace").strip().splitlines()[-8:])
        raise FeatureRepoError(f"cannot read the feature repository {repo}:\n{said}")
    return done.stdout


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
