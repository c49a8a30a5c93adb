"""`model`: the training set becomes a registered model version."""

from typing import Any

import dagster as dg

from ml_assets.core.assets import Materialized, attributes, key, keys, rows
from ml_assets.core.project import project
from ml_assets.core.settings import Settings
from ml_assets.core.system import System


def build(system: System) -> list[Any]:
    return [_model(system)]


def _model(system: System) -> dg.AssetsDefinition:
    @dg.asset(
        key=key(system, "model"),
        deps=keys(system, "training_set"),
        description="One version in the MLflow registry: a torch network fitted to the training "
        "part of the latest training set. Nothing after the training part has been seen by it. "
        "Stored as safetensors and JSON; loading executes no pickle. Served without torch: "
        "registered only if it scores then as torch does, within 1e-5.",
        code_version="1",
        **attributes(system, "training", "pytorch", "mlflow", partitioned=False),
    )
    def model(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        from ml_assets.features.training_sets.training_set import TrainingSets
        from ml_assets.registry.models import ModelRegistry
        from ml_assets.training.run import figures, train

        def progress(evaluation: int, loss: float) -> None:
            if evaluation % 10 == 1:
                context.log.info(f"evaluation {evaluation}: loss {loss:.4f}")

        training_set = TrainingSets(settings, system).latest()
        tags = {"dagster_run_id": context.run.run_id,
                "asset_key": context.asset_key.to_user_string(), "git_commit": git_commit()}
        version, trained = train(
            system, training_set, ModelRegistry(settings), tags=tags, progress=progress)
        return dg.MaterializeResult(
            metadata=rows(trained.rows, **figures(training_set, version, trained)),
            data_version=dg.DataVersion(str(version.version)),
        )

    return model


def git_commit() -> str:
    """The commit of the project that declares what is trained, `unknown` if it has none."""
    import subprocess

    answer = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=project().folder, capture_output=True, text=True,
        check=False,
    )
    return answer.stdout.strip() or "unknown"
