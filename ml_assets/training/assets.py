"""`model`: the training set becomes a registered model version."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets.core.assets import Materialized, attributes, check_result, key, keys, rows
from ml_assets.core.project import project
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.training.resources import resource_tags
from ml_assets.training.tuning import assets as tuning

if TYPE_CHECKING:
    from ml_assets.training.run import Trained


def build(system: System) -> list[Any]:
    return [_model(system), *tuning.build(system)]


def _model(system: System) -> dg.AssetsDefinition:
    @dg.asset(
        key=key(system, "model"),
        deps=keys(system, "training_set"),
        description="One version in the MLflow registry: a torch network fitted to the training "
        "part of the latest training set. Nothing after the training part has been seen by it. "
        "Stored as safetensors and JSON; loading executes no pickle. Served without torch: "
        "registered only if it scores then as torch does, within 1e-5.",
        code_version="1",
        op_tags=resource_tags(system, Settings.from_environment().ray),
        check_specs=[
            dg.AssetCheckSpec(
                "fit_settled", asset=key(system, "model"),
                description="More steps of the optimiser would have gained little (warning).",
            ),
            dg.AssetCheckSpec(
                "better_than_simple_models", asset=key(system, "model"),
                description="On held-out events the model surely loses less than the best "
                "constant answer, and no more than a linear model of the same numbers and "
                "categories (warning).",
            ),
        ],
        **attributes(system, "training", "pytorch", "mlflow", partitioned=False),
    )
    def model(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        from ml_assets.features.training_sets.training_set import TrainingSets
        from ml_assets.registry.models import ModelRegistry
        from ml_assets.training.loop.progress import ProgressLog
        from ml_assets.training.run import figures, train

        training_set = TrainingSets(settings, system).latest()
        tags = {"dagster_run_id": context.run.run_id,
                "asset_key": context.asset_key.to_user_string(), "git_commit": git_commit()}
        with ProgressLog(getattr(system.model.fit, "most_epochs", 1), context.log.info) as told:
            version, trained = train(
                system, training_set, ModelRegistry(settings), tags=tags, progress=told)
        return dg.MaterializeResult(
            metadata=rows(trained.rows, **figures(training_set, version, trained)),
            data_version=dg.DataVersion(str(version.version)),
            check_results=_checks(trained),
        )

    return model


def _checks(trained: "Trained") -> list[dg.AssetCheckResult]:
    held_out = trained.held_out
    return [
        check_result(trained.convergence.settled, "fit_settled",
                     {"ended": trained.convergence.said}, severity=dg.AssetCheckSeverity.WARN),
        check_result(held_out is None or held_out.worth_it, "better_than_simple_models",
                     {"nothing": "is held out to judge by"} if held_out is None
                     else held_out.named(),
                     severity=dg.AssetCheckSeverity.WARN),
    ]


def git_commit() -> str:
    """The commit of the project that declares what is trained, `unknown` if it has none."""
    import subprocess

    answer = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=project().folder, capture_output=True, text=True,
        check=False,
    )
    return answer.stdout.strip() or "unknown"
