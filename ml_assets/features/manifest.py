"""What the feature repository declares, as the platform computes it. Known without Feast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib import util
from pathlib import Path
from types import ModuleType

import dagster_feast
from dagster_feast import FeastManifest, FeatureService, FeatureView
from ml_assets.core.errors import DeclarationError, unknown
from ml_assets.core.project import FILE, ROOT, project
from ml_assets.core.runtime.isolation import Fault, attempt
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.features.derived.declared import Derived
from ml_assets.features.engine.windows import parse_view
from ml_assets.features.online_store.backend import digest_of
from ml_assets.features.online_store.latest_scores import DECISIONS, name_of
from ml_assets.features.online_store.versions import Column, PlainView
from ml_assets.features.service import (
    Chosen,
    ChosenRows,
    Service,
    TableView,
    View,
    of_system,
)
from ml_assets.features.sharing.lenders import borrowed, lent, owners_of, readers

REPO = project().feature_repo
KNOWN_AT = "known_at"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All services, by name, beside Feast's own view of the repository.

    refused: why others cannot be computed
    """

    repo: Path
    feast: FeastManifest
    services: Mapping[str, Service]
    refused: Mapping[str, str]

    def service(self, system: System) -> Service:
        """The feature service that `system` names.

        Raises UnknownName, offering the closest, and DeclarationError if the repository leaves the
        system out or the service cannot be computed for it, see `service.of_system`.
        """
        name = system.feature_service
        if name in self.services:
            self._require_own(system, self.services[name])
            self._require_names(system)
            return of_system(self.services[name], system, self.owners(system))
        if name in self.refused:
            raise DeclarationError(self.refused[name])
        broken = unpublished_in(definitions_of(self.repo)).get(system.name)
        if broken is not None:
            raise DeclarationError(f"the features of {system.name!r} are broken: {broken}")
        raise unknown(
            "feature service", name, self.services,
            f"System {system.name!r} asks for it; declare it in "
            f"systems/{system.name}/features.py.",
        )

    def lent(self, system: System) -> tuple[View | TableView, ...]:
        """The views of a system that only other systems' services read."""
        return lent(self.services, system)

    def borrowed(self, system: System) -> tuple[View | TableView, ...]:
        """The views of a system that other systems' services read."""
        return borrowed(self.services, system)

    def borrowed_tables(self, system: System) -> frozenset[str]:
        """The tables of its lake that these are computed from."""
        return frozenset(view.table for view in self.borrowed(system))

    def readers(self, system: str) -> tuple[System, ...]:
        """The other systems that read views of a system."""
        return readers(self.services, system)

    def owners(self, system: System) -> Mapping[str, System]:
        """The systems whose views a system reads, by name, itself included."""
        service = self.services.get(system.feature_service)
        return {system.name: system} if service is None else owners_of(
            self.services, service, system)

    def lenders(self, system: System) -> tuple[System, ...]:
        """The other systems whose views a system reads."""
        return tuple(each for each in self.owners(system).values() if each.name != system.name)

    def own(self, system: System) -> tuple[View | TableView, ...]:
        """The views of a system that it must load: its service's, and those that others read."""
        mine = [part.view for part in self.service(system).parts
                if part.view.system == system.name]
        return (*mine, *self.lent(system))

    def _require_own(self, system: System, service: Service) -> None:
        """A derived view reads the events that a system predicts: another's are other events."""
        for derived in service.derived:
            owner = self.feast.views[derived.view].tags.get("system", system.name)
            if owner != system.name:
                raise DeclarationError(
                    f"feature service {service.name!r} has the derived view {derived.view!r} of "
                    f"{owner!r}; declare one of your own: derived_view(..., "
                    f"system={system.name!r}, function=...) with the same function")

    def _require_names(self, system: System) -> None:
        """A view is the asset `<system>/<view>`, a service `<system>/<service>`: neither may be
        called like another asset of the system. The view of its scores is one of these."""
        taken = {name: f"the table {name!r}" for name in system.own_assets}
        for view in (*self.views_of(system.name), None):
            name = system.feature_service if view is None else (
                view.removeprefix(f"{system.name}_"))
            kind = "feature service" if view is None else "feature view"
            if name in taken and view != name_of(system.name):
                raise DeclarationError(
                    f"{kind} {view or name!r} would be the asset {system.name}/{name}, which is "
                    f"{taken[name]} already; give it a name of its own, such as "
                    f"{name + '_lately'!r}")
            taken[name] = f"the {kind} {view or name!r}"

    def views_of(self, system: str) -> tuple[str, ...]:
        """The names of all feature views that a system declares."""
        return tuple(view.name for view in self.feast.views.values()
                     if view.tags.get("system") == system)

    def require_scores(self, system: System) -> None:
        """Raise DeclarationError unless the view that `system.scores_by` asks for is declared."""
        name, key = name_of(system.name), system.scores_by
        if key is None:
            return
        found, decisions = self.feast.views.get(name), DECISIONS[system.target.lake_type]
        there = "no such view"
        if found is not None:
            kept = {each.name: each.dtype for each in found.features}.get("decision")
            if (found.join_keys, kept) == ((key,), decisions):
                return
            there = f"one by {', '.join(found.join_keys)} of decisions that are {kept}"
        said = "" if decisions == "Bool" else f", decisions={system.target.lake_type!r}"
        raise DeclarationError(
            f"System {system.name!r}: scores_by is {key!r}, which asks for the feature view "
            f"{name!r} by {key} of decisions that are {decisions}; the repository has {there}. "
            f"Declare it in systems/{system.name}/features.py: "
            f"scores = scores_view({system.name!r}, {key}{said})"
        )


def definitions_of(repo: Path) -> ModuleType:
    """What `<repo>/definitions.py` declares. Imports Feast; raises whatever it raises."""
    spec = util.spec_from_file_location("feature_repo_definitions", repo / "definitions.py")
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def unpublished_in(definitions: ModuleType) -> Mapping[str, str]:
    """Why systems are broken, by their names, if the repository leaves them out."""
    said: Mapping[str, str] = getattr(definitions, "unpublished", {})
    return said


def load_manifest(settings: Settings, repo: Path = REPO) -> Manifest:
    """The manifest of `repo`, made afresh (seconds) only where its sources have changed.

    Raises FeastRepoError where the repository cannot be imported.
    """
    here = Path(__file__).parent
    reference, own = ROOT / "ml_assets" / "systems", project().systems
    feast = dagster_feast.load_manifest(
        repo, cache=settings.cache / "feast",
        depends_on=[
            here / "declaration.py", here / "derived", here / "engine",
            here / "online_store" / "latest_scores.py",
            # All that a features.py may import of its system's, not itself alone; and which
            # reference systems run here.
            reference, *(each for each in (own, project().folder / FILE) if each.exists()),
        ],
    )
    tried = {name: attempt(_service, service) for name, service in feast.services.items()}
    return Manifest(
        repo=repo, feast=feast,
        services={name: each for name, each in tried.items() if not isinstance(each, Fault)},
        refused={name: each.reason for name, each in tried.items() if isinstance(each, Fault)},
    )


def _service(said: FeatureService) -> Service:
    chosen, kept, derived = [], [], []
    for part in said.projections:
        if part.alias or part.join_key_map:
            raise DeclarationError(
                f"feature service {said.name!r} renames {part.view.name!r}; the platform reads "
                "views under their own names and keys"
            )
        if part.view.kind == "on_demand":
            derived.append(Derived.read(
                part.view.name, part.view.tags, part.features, part.view.udf))
            continue
        if (rows := _table_view(part.view)) is not None:
            kept.append(_chosen_rows(rows, part.features))
            continue
        view = _view(part.view)
        columns = {each.name: each.columns for each in view.windowed.aggregates}
        chosen.append(Chosen(
            view=view, columns=tuple(name for feature in part.features for name in columns[feature])
        ))
    return Service(name=said.name, chosen=tuple(chosen), kept=tuple(kept), derived=tuple(derived))


def _chosen_rows(view: TableView, features: Sequence[str]) -> ChosenRows:
    for each in view.plain.columns:
        if each.name in features and each.name not in view.features:
            raise DeclarationError(
                f"feature view {view.name!r}: feature {each.name!r} is {each.type}, which no "
                f"vector can hold; leave it out of the service: {view.name}[[...]]"
            )
    return ChosenRows(view=view, columns=tuple(features))


def _table_view(said: FeatureView) -> TableView | None:
    """None if it is no view over a table, as `declaration.table_view` makes them."""
    if said.kind != "plain" or len(said.sources) != 1:
        return None
    source = said.sources[0]
    if source.created_timestamp_column != KNOWN_AT or "ml_assets/table" not in said.tags:
        return None
    system, _, name = source.location.partition("/")
    plain = PlainView(
        name=said.name, keys=tuple(sorted(said.join_keys)),
        columns=tuple(Column(each.name, each.dtype) for each in said.features),
        ttl=(said.ttl or timedelta(0)) // timedelta(microseconds=1),
    )
    return TableView(name=said.name, system=system, table=name, plain=plain,
                     definition=digest_of(plain))


def _view(said: FeatureView) -> View:
    """Raises DeclarationError where the platform cannot compute it."""
    streams = [source for source in said.sources if source.kind == "push" and source.batch_source]
    if not said.aggregations or len(streams) != 1:
        raise DeclarationError(
            f"feature view {said.name!r} has {len(said.aggregations)} aggregations of "
            f"{len(streams)} streams; declare it with ml_assets.features.declaration."
            "windowed_view over event_stream or label_stream, or with table_view over a table"
        )
    table = streams[0].batch_source
    assert table is not None
    windowed = parse_view(
        name=said.name, keys=said.join_keys, timestamp=said.timestamp_field,
        created=table.created_timestamp_column, aggregations=said.aggregations,
        tags=dict(said.tags),
    )
    system, _, name = table.location.partition("/")
    return View(
        name=said.name, system=system, table=name, windowed=windowed,
        definition=digest_of(windowed),
    )
