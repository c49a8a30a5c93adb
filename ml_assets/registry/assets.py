"""`deployment`: a candidate that passed its gates comes into the rollout."""

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
        "never altered. The first model that passed every gate of "
        f"`{system.name}/evaluation` becomes the champion, a later one its challenger, on which "
        f"`{system.name}/rollout` decides. The API follows within a second.",
        code_version="2",
        check_specs=[
            dg.AssetCheckSpec(
                "candidate_came_in", asset=key(system, "deployment"),
                description="The latest candidate is champion or challenger, or the next to be "
                "one. If it is not, the reason says why; that is a result, not a fault.",
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
                shipped.candidate_came_in, "candidate_came_in", {"reason": shipped.reason},
                severity=dg.AssetCheckSeverity.WARN,
            )],
            data_version=dg.DataVersion(
                str(shipped.current.version) if shipped.current else "none"),
        )

    return deployment
