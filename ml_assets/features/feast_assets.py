"""From a Feast repository to Dagster asset specs, in the manner of dagster-dbt.

A data source is the asset that fills it, a feature view one that loads the online store, a
feature service a virtual asset: a name for the views that a model reads.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from ml_assets.core.assets import attributes, column_schema, key, keys
from ml_assets.core.system import System
from ml_assets.features.manifest import Manifest, Service, View


@dataclass(frozen=True)
class DagsterFeastTranslator:
    """Says how the Feast objects of a system look in Dagster. Subclass it to say otherwise."""

    system: System

    def source_key(self, view: View) -> dg.AssetKey:
        return key(self.system, view.table)

    def view_key(self, view: View) -> dg.AssetKey:
        return key(self.system, f"{view.table}_view")

    def service_key(self, service: Service) -> dg.AssetKey:
        return key(self.system, service.name)

    def source_spec(self, view: View, engine: str) -> dg.AssetSpec:
        """`engine` is the version of the code that computes the aggregates."""
        return dg.AssetSpec(
            self.source_key(view),
            deps=keys(self.system, "events", "labels"),
            description=f"One row for each `{view.key}` whose windows changed on the day, as "
            f"they stood at its end (a Feast data source). Source: `{self.system.name}/events` "
            f"and `{self.system.name}/labels`. {view.description}",
            code_version=f"{engine}-{view.definition}",
            metadata={"dagster/column_schema": _columns(view)},
            **_attributes(self.system, "parquet", "duckdb"),
        )

    def view_spec(self, view: View) -> dg.AssetSpec:
        return dg.AssetSpec(
            self.view_key(view),
            deps=[self.source_key(view)],
            description=f"The Feast feature view `{view.name}`: the latest row of each "
            f"`{view.key}` in the online store. Source: `{self.system.name}/{view.table}`.",
            code_version=f"1-{view.definition}",
            metadata={"feast/feature_view": view.name},
            **_attributes(self.system, "feast", "sqlite"),
        )

    def service_spec(self, service: Service) -> dg.AssetSpec:
        with warnings.catch_warnings():
            # Virtual assets are new in Dagster 1.13; what we use of them is their drawing.
            warnings.simplefilter("ignore", dg.PreviewWarning)
            return self._virtual(service)

    def _virtual(self, service: Service) -> dg.AssetSpec:
        return dg.AssetSpec(
            self.service_key(service),
            deps=[self.view_key(view) for view in service.views],
            description=f"The Feast feature service `{service.name}`: "
            f"{len(service.features)} features by {', '.join(service.keys)}. "
            f"{service.description}",
            metadata={"feast/feature_service": service.name,
                      "feast/features": list(service.features)},
            is_virtual=True,
            group_name=f"{self.system.name}_features",
            owners=list(self.system.owners),
            kinds={"feast"},
        )


@dataclass(frozen=True, kw_only=True)
class FeastAssetSpecs:
    """The specs of one system, sources and views in the order of its feature service."""

    views: Sequence[View]
    sources: Sequence[dg.AssetSpec]
    feature_views: Sequence[dg.AssetSpec]
    service: dg.AssetSpec
    by_key: dict[dg.AssetKey, View] = field(default_factory=dict)


def build_feast_asset_specs(
    manifest: Manifest, system: System, *, engine: str,
    translator: DagsterFeastTranslator | None = None,
) -> FeastAssetSpecs:
    """The specs of the feature service that `system` names, of its views and their sources.

    Raises UnknownName, offering the closest, where the manifest lacks the service.
    """
    translate = translator or DagsterFeastTranslator(system)
    service = manifest.service(system)
    views = service.views
    return FeastAssetSpecs(
        views=views,
        sources=[translate.source_spec(view, engine) for view in views],
        feature_views=[translate.view_spec(view) for view in views],
        service=translate.service_spec(service),
        by_key={translate.source_key(view): view for view in views}
        | {translate.view_key(view): view for view in views},
    )


def _attributes(system: System, *kinds: str) -> dict[str, Any]:
    """What a daily spec takes; the backfill policy belongs to the op."""
    taken: dict[str, Any] = {**attributes(system, "features", *kinds)}
    del taken["backfill_policy"]
    return taken


def _columns(view: View) -> dg.TableSchema:
    return column_schema([
        ("event_timestamp", "timestamp", "the end of the day, UTC"),
        (view.key, "string", "the entity"),
        *((each.name, "float", each.description) for each in view.aggregates),
    ])
