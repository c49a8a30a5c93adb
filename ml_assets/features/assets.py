"""Feature views, the feature service and `training_set`."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from dagster_feast import (
    DagsterFeastTranslator,
    FeastResource,
    FeatureView,
    Loaded,
    build_feast_asset_selection,
    build_feast_external_specs,
    feast_assets,
)
from dagster_feast.nodes import Node
from ml_assets.core.assets import (
    Materialized,
    attributes,
    check_result,
    daily,
    key,
    keys,
    preview,
    rows,
)
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY
from ml_assets.features.manifest import REPO, Manifest, load_manifest
from ml_assets.features.online_store.latest_scores import name_of
from ml_assets.features.service import TableView
from ml_assets.features.training_sets import LARGEST_SAMPLE, LOOKED_AT

if TYPE_CHECKING:
    from ml_assets.features.training_sets.examination import Examination

ENGINE = "1"
"""Version of the code that computes windows; raise it when their values change."""


def build(system: System) -> list[Any]:
    manifest = load_manifest(Settings.from_environment())
    manifest.service(system)
    manifest.require_scores(system)
    translator = SystemTranslator(system)
    return [
        *([_feature_views(system)] if manifest.own(system) else []),
        *([] if system.scores_by is None else [_scores(system)]),
        *build_feast_external_specs(
            manifest.feast, translator=translator, select=_of(system),
            exclude=_of_others(manifest, system),
        ),
        _training_set(system),
    ]


def feature_view_selection(system: System, *, borrowed: bool = False) -> dg.AssetSelection:
    """The assets of the system's feature views that its service reads, or another's.

    borrowed: of those that another's does alone
    """
    manifest = load_manifest(Settings.from_environment())
    views = manifest.borrowed(system) if borrowed else manifest.own(system)
    return build_feast_asset_selection(
        manifest.feast, [f"view:{view.name}" for view in views],
        translator=SystemTranslator(system)) if views else dg.AssetSelection.assets()


def _of(system: System) -> str:
    """All that the system's feature service reads."""
    return f"+service:{system.feature_service}"


def _of_others(manifest: Manifest, system: System) -> list[str] | None:
    """What other systems have declared of it: their assets, to which the arrows lead."""
    return [f"tag:system={each.name}" for each in manifest.lenders(system)] or None


class SystemTranslator(DagsterFeastTranslator):
    """Feast's objects of one system, as its other assets look: `market_visits` of the
    repository that all systems share is `market/visits`, with a partition for each day.
    """

    def __init__(self, system: System) -> None:
        self.system = system
        own = load_manifest(Settings.from_environment()).own(system)
        self.definitions = {view.name: view.definition for view in own}

    def get_asset_key(self, node: Node) -> dg.AssetKey:
        if "dagster/asset_key" in node.tags:
            return super().get_asset_key(node)
        if isinstance(node, FeatureView):
            owner = node.tags.get("system", self.system.name)
            return dg.AssetKey([owner, node.name.removeprefix(f"{owner}_")])
        if node.name == self.system.feature_service:
            return key(self.system, node.name)
        return super().get_asset_key(node)

    def get_group_name(self, node: Node) -> str:
        return f"{self.system.name}_features"

    def get_owners(self, node: Node) -> list[str]:
        return list(self.system.owners)

    def get_code_version(self, node: Node) -> str | None:
        """Of a view all that its values depend on: also our tags, which Feast's digest omits."""
        if node.name in self.definitions:
            return f"{ENGINE}-{self.definitions[node.name]}"
        return super().get_code_version(node)

    def get_partitions_def(self, node: Node) -> dg.PartitionsDefinition[Any] | None:
        loads = isinstance(node, FeatureView) and node.loadable
        return daily(self.system) if loads else None

    def get_max_age(self, node: Node) -> timedelta | None:
        """A day's load comes after the day: more than a second day behind, one was missed."""
        return timedelta(days=2) if isinstance(node, FeatureView) and node.loadable else None


class SystemFeast(FeastResource):
    """The store of the installation in the folder `var`, on the clock of `system`."""

    var: str
    system: str

    def get_store(self) -> Any:
        from ml_assets.features.store import open_store

        return open_store(self._settings())

    def now(self) -> datetime:
        return self._settings().clock_of(self.system).now()

    def _settings(self) -> Settings:
        return replace(Settings.from_environment(), var=Path(self.var))


def _feature_views(system: System) -> dg.AssetsDefinition:
    manifest = load_manifest(Settings.from_environment())
    views = {view.name: view for view in manifest.own(system)}

    @feast_assets(
        manifest=manifest.feast,
        select=[f"view:{name}" for name in views],
        translator=SystemTranslator(system),
        partitions_def=daily(system),
        name=f"{system.name}_feature_views",
    )
    def feature_views(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from ml_assets.features.online_load import load_table, load_view
        from ml_assets.features.store import note_loaded

        def load(store: Any, view: str, start: datetime | None, end: datetime) -> Loaded:
            assert start is not None
            wanted, said = _days(start, end), views[view]
            loaded = (load_table(settings, said, wanted) if isinstance(said, TableView) else
                      load_view(settings, said, wanted))
            note_loaded(store, view, start, loaded.until)
            return Loaded(rows=loaded.rows, until=loaded.until)

        feast = SystemFeast(repo_path=str(REPO), var=str(settings.var), system=system.name)
        yield from feast.materialize(context, load=load)

    return feature_views


def _scores(system: System) -> dg.AssetsDefinition:
    """Apart from the views that the model reads, since it comes after the model."""
    @feast_assets(
        manifest=load_manifest(Settings.from_environment()).feast,
        select=f"view:{name_of(system.name)}",
        translator=SystemTranslator(system),
        partitions_def=daily(system),
        name=f"{system.name}_scores_view",
    )
    def scores(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from ml_assets.features.scores import load_scores
        from ml_assets.features.store import note_loaded

        def load(store: Any, view: str, start: datetime | None, end: datetime) -> Loaded:
            assert start is not None
            count = load_scores(settings, system, _days(start, end))
            note_loaded(store, view, start, end)
            return Loaded(rows=count)

        feast = SystemFeast(repo_path=str(REPO), var=str(settings.var), system=system.name)
        yield from feast.materialize(context, load=load)

    return scores


def _days(start: datetime, end: datetime) -> list[date]:
    """A day that has not ended counts: what there is of it."""
    return [(start + n * DAY).date() for n in range(ceil((end - start) / DAY))]


def _training_set(system: System) -> dg.AssetsDefinition:
    asset_key = key(system, "training_set")

    @dg.asset(
        key=asset_key,
        deps=keys(system, system.feature_service, "events", "labels"),
        description="One row for each event whose label is known, with the features of its own "
        "time from Feast's point-in-time join; the latest are held out to judge the model. "
        f"Source: `{system.name}/events`, `{system.name}/labels`, the feature service "
        f"`{system.feature_service}`.",
        code_version="2",
        check_specs=[
            dg.AssetCheckSpec(
                "labels_were_known", asset=asset_key, blocking=True,
                description="No label was known at or after the instant of building.",
            ),
            dg.AssetCheckSpec(
                "features_know_no_future", asset=asset_key, blocking=True,
                description="Every feature, computed again by the online engine from what had "
                "happened and was known before its event alone, is the same bit by bit. Of more "
                f"than {LARGEST_SAMPLE:,} rows as many are examined, and the check says from "
                "which share of leaking rows on one is found.",
            ),
            dg.AssetCheckSpec(
                "labels_vary", asset=asset_key, blocking=True,
                description="Both parts hold labels that differ: else there is nothing to learn "
                "and nothing to judge.",
            ),
            dg.AssetCheckSpec(
                "features_vary", asset=asset_key,
                description="No feature is the same in all rows, or missing in all (warning).",
            ),
            dg.AssetCheckSpec(
                "the_one_before_is_reproducible", asset=asset_key,
                description="The training set before this one (of a large one, about "
                f"{LOOKED_AT:,} rows), built again from the lake as of its own instant, comes out "
                "the same (warning).",
            ),
        ],
        **attributes(system, "features", "feast", "parquet", partitioned=False),
    )
    def training_set(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        from ml_assets.features.training_sets.examination import examine
        from ml_assets.features.training_sets.progress import BuildLog
        from ml_assets.features.training_sets.training_set import TrainingSets

        sets = TrainingSets(settings, system)
        before = sets.latest_version()
        difference = None if before is None else sets.difference(before)
        built = sets.build(settings.clock_of(system.name).now(), BuildLog(context.log.info))
        found = examine(settings, system, built)
        first, last = built.partitions
        return dg.MaterializeResult(
            data_version=dg.DataVersion(built.version),
            metadata=rows(
                built.labels,
                labels="; ".join(f"{split}: {said}" for split, said in found.labels.items()),
                held_out=found.rows.get("holdout", 0),
                events_lacking=built.events_lacking,
                unknown_values=found.unknown,
                version=built.version,
                as_of=dg.MetadataValue.timestamp(built.as_of),
                partitions=f"{first} to {last}",
                features=list(built.feature_names),
                statistics=preview(found.statistics, len(found.statistics)),
                preview=preview(built.first(5).drop(columns=list(built.texts))),
            ),
            check_results=_verdicts(found, before, difference),
        )

    return training_set


def _verdicts(
    found: "Examination", before: str | None, difference: str | None
) -> list[dg.AssetCheckResult]:
    """The checks of a training set.

    before: the training set before it; difference: why that one is not reproducible, if it is not
    """
    return [
        check_result(found.late == 0, "labels_were_known", {"late": found.late}),
        check_result(not found.leaking, "features_know_no_future",
                     {"checked": found.examined, "leaking": len(found.leaking),
                      "first": found.leaking[:5], "sure_from_share": found.unseen}),
        check_result(found.varied, "labels_vary", found.labels),
        check_result(not found.dead, "features_vary", {"features": found.dead},
                     severity=dg.AssetCheckSeverity.WARN),
        check_result(difference is None, "the_one_before_is_reproducible",
                     {"version": before or "none yet", "trouble": difference or "none"},
                     severity=dg.AssetCheckSeverity.WARN),
    ]
