"""How Feast's objects look in Dagster. Subclass the translator to have them look otherwise."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from .columns import column_schema, columns_in_words, duration
from .nodes import DataSource, FeatureService, FeatureView, Node

KEY_TAG, GROUP_TAG, MAX_AGE_TAG = (
    "dagster/asset_key", "dagster/group", "dagster/max_age_seconds"
)
"""Feast tags that the translator obeys."""
VIEW, SERVICE, SOURCE, MAX_AGE = (
    "feast/feature_view", "feast/feature_service", "feast/data_source", "feast/max_age_seconds"
)
"""Metadata by which an asset is known to be a view, service or source."""
FRESH = "is_fresh"
"""The check of `get_check_specs`; `FeastResource.materialize` gives its result."""

TAG_KEY = re.compile(r"([A-Za-z0-9_.-]{1,63}/)?[A-Za-z0-9_.-]{1,63}")
TAG_VALUE = re.compile(r"[A-Za-z0-9_.-]{0,63}")
OWNER = re.compile(r"team:.+|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}")


class DagsterFeastTranslator:
    """Each method answers one question about a node; override those whose answer differs.

    `get_asset_spec` asks them all. A node is a `FeatureView`, `FeatureService` or `DataSource`.
    """

    def get_asset_spec(self, node: Node) -> dg.AssetSpec:
        """The asset of a node: materialisable for a view that can be loaded, external for a
        source, virtual (a name for what others hold) for everything else.
        """
        loadable = isinstance(node, FeatureView) and node.loadable
        identity: dict[str, Any] = {self._sort(node): node.name}
        max_age = self.get_max_age(node)
        if max_age is not None:
            identity[MAX_AGE] = max_age.total_seconds()
        with warnings.catch_warnings():
            # Virtual assets are a preview in Dagster 1.13; what we use of them is their drawing.
            warnings.simplefilter("ignore", dg.PreviewWarning)
            return dg.AssetSpec(
                self.get_asset_key(node),
                deps=self.get_deps(node),
                description=self.get_description(node),
                # Last, because the resource finds the view by it.
                metadata={**self.get_metadata(node), **identity},
                group_name=self.get_group_name(node),
                code_version=self.get_code_version(node),
                automation_condition=self.get_automation_condition(node),
                owners=list(self.get_owners(node)),
                tags=dict(self.get_tags(node)),
                kinds=set(self.get_kinds(node)),
                partitions_def=self.get_partitions_def(node),
                is_virtual=not loadable and not isinstance(node, DataSource),
            )

    def get_asset_key(self, node: Node) -> dg.AssetKey:
        """The Feast tag `dagster/asset_key` (`a/b` for ["a", "b"]), so that a source shares the
        key of the asset that fills it; else project and name, with `sources` or `services`
        between. A push source is a door into its batch source and shares its key.
        """
        if KEY_TAG in node.tags:
            return dg.AssetKey(node.tags[KEY_TAG].split("/"))
        if isinstance(node, DataSource) and node.kind == "push" and node.batch_source:
            return self.get_asset_key(node.batch_source)
        name = re.sub(r"[^A-Za-z0-9_.-]+", "_", node.name)
        if isinstance(node, FeatureView):
            return dg.AssetKey([node.project, name])
        folder = "sources" if isinstance(node, DataSource) else "services"
        return dg.AssetKey([node.project, folder, name])

    def get_deps(self, node: Node) -> Iterable[dg.AssetDep]:
        """An arrow from each asset that it reads, with `get_partition_mapping`."""
        deps: dict[dg.AssetKey, dg.AssetDep] = {}
        for parent in node.parents:
            key = self.get_asset_key(parent)
            mapping = self.get_partition_mapping(node, parent)
            deps.setdefault(key, dg.AssetDep(key, partition_mapping=mapping))
        return deps.values()

    def get_partition_mapping(self, node: Node, parent: Node) -> dg.PartitionMapping | None:
        """None: Dagster's own."""
        return None

    def get_group_name(self, node: Node) -> str | None:
        """The Feast tag `dagster/group`, else the project."""
        return re.sub(r"[^A-Za-z0-9_/]", "_", node.tags.get(GROUP_TAG, node.project))

    def get_description(self, node: Node) -> str:
        """Feast's description, then what follows from the declaration."""
        if isinstance(node, FeatureView):
            facts = _view_in_words(node)
        elif isinstance(node, FeatureService):
            facts = (f"Feast feature service `{node.name}`: {len(node.features)} features by "
                     f"{_ticked(node.join_keys)}.\n\n"
                     + "\n".join(f"- `{each.alias or each.view.name}`: {_ticked(each.features)}"
                                 for each in node.projections))
        else:
            facts = f"Feast data source `{node.name}`."
        return "\n\n".join(each for each in (node.description, facts) if each)

    def get_metadata(self, node: Node) -> Mapping[str, Any]:
        """What Feast knows and Dagster has no place for."""
        said: dict[str, Any] = {"feast/project": node.project, "feast/digest": node.digest}
        unsaid = {key: value for key, value in node.tags.items()
                  if not key.startswith("dagster/") and key not in self.get_tags(node)}
        if unsaid:
            said["feast/tags"] = unsaid
        if node.owner and node.owner not in self.get_owners(node):
            said["feast/owner"] = node.owner
        if isinstance(node, FeatureView):
            if node.keys or node.features:
                said["dagster/column_schema"] = column_schema(node)
            said["feast/kind"] = node.kind
            said["feast/entities"] = {each.name: each.description or each.join_key
                                      for each in node.entities}
            if node.ttl is not None:
                said["feast/ttl_seconds"] = node.ttl.total_seconds()
            if node.udf:
                said["feast/udf"] = dg.MetadataValue.md(f"```python\n{node.udf}\n```")
            requests = [field for each in node.sources for field in each.fields]
            if requests:
                said["feast/request"] = {each.name: each.dtype for each in requests}
        if isinstance(node, FeatureService):
            said["feast/features"] = list(node.features)
            said["feast/join_keys"] = list(node.join_keys)
        if isinstance(node, DataSource):
            said["feast/location"] = node.location
            said["feast/timestamp_field"] = node.timestamp_field
        return said

    def get_owners(self, node: Node) -> Sequence[str]:
        """Feast's owner where Dagster accepts it: an e-mail address or `team:name`."""
        return [node.owner] if OWNER.fullmatch(node.owner) else []

    def get_tags(self, node: Node) -> Mapping[str, str]:
        """Feast's tags as far as Dagster's syntax allows; the others become metadata."""
        return {
            key: value for key, value in node.tags.items()
            if TAG_KEY.fullmatch(key) and TAG_VALUE.fullmatch(value)
            and not key.startswith("dagster/")
        }

    def get_kinds(self, node: Node) -> set[str]:
        """`feast`, and the technology that holds the values."""
        if isinstance(node, DataSource):
            return {"feast", node.type} if node.type.isidentifier() else {"feast"}
        if isinstance(node, FeatureView) and node.loadable and node.online_store.isidentifier():
            return {"feast", node.online_store}
        return {"feast"}

    def get_code_version(self, node: Node) -> str | None:
        """The digest of what determines the values; None for a source, which others compute."""
        return None if isinstance(node, DataSource) else node.digest

    def get_partitions_def(self, node: Node) -> dg.PartitionsDefinition[Any] | None:
        """None: loads go on from where the last one ended."""
        return None

    def get_automation_condition(self, node: Node) -> dg.AutomationCondition[Any] | None:
        return None

    def get_max_age(self, node: Node) -> timedelta | None:
        """How far a loaded view may lie behind the clock: the Feast tag
        `dagster/max_age_seconds`, else its TTL, else None (as far as it likes).
        """
        if not isinstance(node, FeatureView) or not node.loadable:
            return None
        said = node.tags.get(MAX_AGE_TAG)
        return node.ttl if said is None else timedelta(seconds=float(said))

    def get_check_specs(self, node: Node) -> Sequence[dg.AssetCheckSpec]:
        """The checks that a load of the view reports. By default `is_fresh`, which warns, where
        there is a maximal age. Yield the results of others beside `FeastResource.materialize`.
        """
        age = self.get_max_age(node)
        if age is None:
            return []
        return [dg.AssetCheckSpec(
            FRESH, asset=self.get_asset_key(node),
            description=f"After a load the view lies at most {duration(age)} behind the clock.",
        )]

    @staticmethod
    def _sort(node: Node) -> str:
        if isinstance(node, FeatureView):
            return VIEW
        return SERVICE if isinstance(node, FeatureService) else SOURCE


def _view_in_words(view: FeatureView) -> str:
    sorts = {
        "plain": "feature view", "batch": "batch feature view", "stream": "stream feature view",
        "on_demand": "on-demand feature view", "label": "label view",
    }
    words = f"Feast {sorts[view.kind]} `{view.name}`"
    words += f" by {_ticked(view.join_keys)}." if view.keys else "."
    if view.kind == "on_demand":
        words += " Computed when it is asked for."
    elif not view.online:
        words += " Not in the online store."
    if view.ttl is not None:
        words += f" A value counts for {duration(view.ttl)}."
    read = [*(each.name for each in view.sources), *(each.name for each in view.views)]
    words += f" Source: {_ticked(read)}." if read else ""
    columns = columns_in_words(view)
    return f"{words}\n\n{columns}" if columns else words


def _ticked(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"
