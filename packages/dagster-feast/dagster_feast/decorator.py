"""`@feast_assets`: the views of a repository as the assets of one function."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import dagster as dg

from .errors import FeastDeclarationError
from .manifest import FeastManifest
from .selection import Selection
from .specs import build_loadable_specs
from .translator import DagsterFeastTranslator


def feast_assets(
    *,
    manifest: FeastManifest,
    select: Selection = None,
    exclude: Selection = None,
    translator: DagsterFeastTranslator | None = None,
    partitions_def: dg.PartitionsDefinition[Any] | None = None,
    backfill_policy: dg.BackfillPolicy | None = None,
    name: str | None = None,
    op_tags: Mapping[str, Any] | None = None,
    required_resource_keys: AbstractSet[str] | None = None,
    retry_policy: dg.RetryPolicy | None = None,
    pool: str | None = None,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Make the selected views that Feast can load the assets of the decorated function.

    Any subset of them can be materialised. The function yields what
    `FeastResource.materialize(context)` yields, and more if it likes:

        @feast_assets(manifest=manifest, partitions_def=daily)
        def feature_views(context: dg.AssetExecutionContext, feast: FeastResource):
            yield from feast.materialize(context)

    select, exclude: see `selection`; what they select beside such views is passed over
    partitions_def: windows of time, each loaded as [start, end); without one a load goes on from
        the last. A backfill then is one run, unless `backfill_policy` says otherwise.
    name: of the op; by default `<project>_feature_views`

    Raises FeastDeclarationError for partitions that are not windows of time, and where no
    selected view can be loaded.
    """
    translate = translator or DagsterFeastTranslator()
    found = build_loadable_specs(manifest, translate, select, exclude)
    partitions = [partitions_def, *(spec.partitions_def for _, spec in found)]
    for each in partitions:
        if each is not None and not isinstance(each, dg.TimeWindowPartitionsDefinition):
            raise FeastDeclarationError(
                f"the partitions of Feast views are windows of time, which Feast can load; "
                f"found {type(each).__name__}"
            )
    if backfill_policy is None and any(partitions):
        backfill_policy = dg.BackfillPolicy.single_run()
    with warnings.catch_warnings():
        # Backfill policies are beta in Dagster 1.13.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.multi_asset(
            name=name or "".join(
                letter if letter.isalnum() else "_" for letter in manifest.project
            ) + "_feature_views",
            specs=[spec for _, spec in found],
            check_specs=[check for view, _ in found for check in translate.get_check_specs(view)],
            can_subset=True,
            partitions_def=partitions_def,
            backfill_policy=backfill_policy,
            op_tags=op_tags,
            required_resource_keys=required_resource_keys,
            retry_policy=retry_policy,
            pool=pool,
        )
