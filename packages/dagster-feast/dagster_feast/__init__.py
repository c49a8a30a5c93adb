"""Feast feature views as Dagster assets, in the manner of dagster-dbt.

    from pathlib import Path
    import dagster as dg
    from dagster_feast import (
        FeastResource, build_feast_external_specs, feast_assets, load_manifest,
    )

    REPO = Path(__file__).parent / "feature_repo"
    MANIFEST = load_manifest(REPO)  # milliseconds; Feast is not imported

    @feast_assets(manifest=MANIFEST)
    def feature_views(context: dg.AssetExecutionContext, feast: FeastResource):
        feast.apply(MANIFEST)
        yield from feast.materialize(context)

    defs = dg.Definitions(
        assets=[feature_views, *build_feast_external_specs(MANIFEST)],
        resources={"feast": FeastResource(repo_path=str(REPO))},
    )

Each feature view that Feast can load is an asset: materialising it loads the online store.
Sources are external assets, on-demand views, label views and services virtual ones. Subclass
`DagsterFeastTranslator` to name, group or partition them otherwise; `selection` says how to
select some of a repository; `FeastRepoComponent` is all of it in three lines of YAML. Nothing
here imports Feast before a store is opened.
"""

from .component import FeastRepoComponent
from .decorator import feast_assets
from .errors import (
    DagsterFeastError,
    FeastDeclarationError,
    FeastRepoError,
    FeastWarning,
    UnknownFeastName,
)
from .loading import Load, Loaded, load_view
from .manifest import (
    FeastManifest,
    describe_repo,
    load_manifest,
    parse_manifest,
    read_manifest,
)
from .nodes import (
    Aggregation,
    DataSource,
    Entity,
    FeatureService,
    FeatureView,
    Field,
    Node,
    Projection,
)
from .resource import FeastResource
from .selection import select_nodes
from .specs import (
    build_feast_asset_selection,
    build_feast_asset_specs,
    build_feast_external_specs,
)
from .translator import DagsterFeastTranslator

__all__ = [
    "Aggregation",
    "DagsterFeastError",
    "DagsterFeastTranslator",
    "DataSource",
    "Entity",
    "FeastDeclarationError",
    "FeastManifest",
    "FeastRepoComponent",
    "FeastRepoError",
    "FeastResource",
    "FeastWarning",
    "FeatureService",
    "FeatureView",
    "Field",
    "Load",
    "Loaded",
    "Node",
    "Projection",
    "UnknownFeastName",
    "build_feast_asset_selection",
    "build_feast_asset_specs",
    "build_feast_external_specs",
    "describe_repo",
    "feast_assets",
    "load_manifest",
    "load_view",
    "parse_manifest",
    "read_manifest",
    "select_nodes",
]
