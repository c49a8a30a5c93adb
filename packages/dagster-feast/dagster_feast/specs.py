"""From a manifest to Dagster's asset specs and selections."""

from __future__ import annotations

import dagster as dg

from .errors import FeastDeclarationError
from .manifest import FeastManifest
from .nodes import DataSource, FeatureView, Node
from .selection import Selection, select_nodes
from .translator import KEY_TAG, DagsterFeastTranslator


def build_feast_asset_specs(
    manifest: FeastManifest,
    *,
    translator: DagsterFeastTranslator | None = None,
    select: Selection = None,
    exclude: Selection = None,
) -> list[dg.AssetSpec]:
    """A spec for each selected view and service, and for each source that no other asset fills.

    A source tagged `dagster/asset_key` is left to the asset of that key: others depend on it.
    So are push sources (doors into their batch source) and what comes with a request.
    Raises FeastDeclarationError where two nodes would share a key.
    """
    translate = translator or DagsterFeastTranslator()
    return [spec for _, spec in _specs(select_nodes(manifest, select, exclude), translate)]


def build_feast_external_specs(
    manifest: FeastManifest,
    *,
    translator: DagsterFeastTranslator | None = None,
    select: Selection = None,
    exclude: Selection = None,
) -> list[dg.AssetSpec]:
    """As `build_feast_asset_specs`, without the views that `feast_assets` materialises."""
    translate = translator or DagsterFeastTranslator()
    nodes = [node for node in select_nodes(manifest, select, exclude) if not is_loadable(node)]
    return [spec for _, spec in _specs(nodes, translate)]


def build_loadable_specs(
    manifest: FeastManifest, translator: DagsterFeastTranslator, select: Selection,
    exclude: Selection,
) -> list[tuple[FeatureView, dg.AssetSpec]]:
    """The selected views that Feast can load, parents before children.

    Raises FeastDeclarationError where there is none.
    """
    nodes = select_nodes(manifest, select, exclude)
    found = _specs([node for node in nodes if is_loadable(node)], translator)
    if not found:
        raise FeastDeclarationError(
            f"no selected view of feature repository {manifest.project!r} can be loaded into the "
            f"online store; selected are {', '.join(node.name for node in nodes) or 'none'}"
        )
    return [(node, spec) for node, spec in found if isinstance(node, FeatureView)]


def build_feast_asset_selection(
    manifest: FeastManifest,
    select: Selection = None,
    *,
    translator: DagsterFeastTranslator | None = None,
    exclude: Selection = None,
) -> dg.AssetSelection:
    """The assets of the selected nodes, for a job, schedule or sensor."""
    translate = translator or DagsterFeastTranslator()
    keys = {translate.get_asset_key(node) for node in select_nodes(manifest, select, exclude)
            if not (isinstance(node, DataSource) and node.kind == "request")}
    return dg.AssetSelection.assets(*sorted(keys))


def is_loadable(node: Node) -> bool:
    return isinstance(node, FeatureView) and node.loadable


def _specs(
    nodes: list[Node] | tuple[Node, ...], translator: DagsterFeastTranslator
) -> list[tuple[Node, dg.AssetSpec]]:
    by_key: dict[dg.AssetKey, Node] = {}
    found = []
    for node in nodes:
        if isinstance(node, DataSource) and (
            node.kind in ("push", "request") or KEY_TAG in node.tags
        ):
            continue
        spec = translator.get_asset_spec(node)
        if spec.key in by_key:
            raise FeastDeclarationError(
                f"{node.name!r} and {by_key[spec.key].name!r} would both be the asset "
                f"{spec.key.to_user_string()}; override get_asset_key in the translator"
            )
        by_key[spec.key] = node
        found.append((node, spec))
    return found
