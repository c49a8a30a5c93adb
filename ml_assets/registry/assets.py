"""`deployment`: a candidate that passed its gates becomes the champion."""

from typing import Any

import dagster as dg

from ml_assets.core.assets import Materialized, attributes, check_result, key, keys, shown
from ml_assets.core.settings import Settings
from ml_assets.core.system import System


def build(system: System) -> list[Any]:
    return [_deployment(system)]


def _deployment(system: System) -> dg.AssetsDefinition:
    @dg.asset(
        key=key(system, "deployment"),
        deps=keys(system, "evaluation"),
        description="The model version in force: one record for each change, with its reason, "
        "never altered. The latest candidate takes over if it passed every gate of "
        f"`{system.name}/evaluation`; otherwise the champion stays. The API follows within a "
        "second.",
        code_version="1",
        check_specs=[
            dg.AssetCheckSpec(
                "candidate_shipped", asset=key(system, "deployment"),
                description="The latest candidate is the champion. If it is not, the reason "
                "says why; that is a result, not a fault.",
            )
        ],
        **attributes(system, "registry", "sqlite", "mlflow", partitioned=False),
    )
    def deployment(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        from ml_assets.features.training_sets.training_set import TrainingSets
        from ml_assets.registry.deployments import Deployments
        from ml_assets.registry.models import ModelRegistry
        from ml_assets.registry.promotion import ship

        shipped = ship(
            system.name, ModelRegistry(settings), Deployments(settings.deployments),
            by=f"dagster run {context.run.run_id}", at=settings.clock_of(system.name).now(),
        )
        TrainingSets(settings, system).conclude(shipped.candidate.tags.get("data_version", ""))
        context.log.info(shipped.reason)
        return dg.MaterializeResult(
            metadata=shown(**shipped.figures()),
            check_results=[check_result(
                shipped.candidate_is_champion, "candidate_shipped", {"reason": shipped.reason},
                severity=dg.AssetCheckSeverity.WARN,
            )],
            data_version=dg.DataVersion(
                str(shipped.current.version) if shipped.current else "none"),
        )

    return deployment
