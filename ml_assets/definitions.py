"""The whole graph: every room's assets for every system. Dagster loads this module."""

import dagster as dg

from ml_assets.automation import jobs, sensors
from ml_assets.core.assets import flatten
from ml_assets.core.installation import check, share_old_clock
from ml_assets.core.settings import Settings
from ml_assets.evaluation import assets as evaluation
from ml_assets.evaluation.slices import require_slices
from ml_assets.features import assets as features
from ml_assets.features.manifest import load_manifest
from ml_assets.feedback import assets as feedback
from ml_assets.ingest import assets as ingest
from ml_assets.ingest.resources import lake_resource
from ml_assets.monitoring import assets as monitoring
from ml_assets.registry import assets as registry
from ml_assets.serving import assets as serving
from ml_assets.systems import SYSTEMS
from ml_assets.training import assets as training

FLOW = (ingest, features, training, evaluation, registry, serving, feedback, monitoring)
"""The rooms in the order in which data passes through them."""

JOBS = (jobs.history_job, jobs.daily_job, jobs.batch_job, jobs.retraining_job)


def definitions(settings: Settings) -> dg.Definitions:
    """Assets, checks, jobs, sensors and schedules of every system, on `settings`."""
    from dagster import AssetChecksDefinition

    manifest = load_manifest(Settings.from_environment())
    for system in SYSTEMS:
        require_slices(system, manifest.service(system).features)
    parts = flatten(room.build(system) for room in FLOW for system in SYSTEMS)
    automation = flatten(sensors.build(system) for system in SYSTEMS)
    return dg.Definitions(
        assets=[part for part in parts if not isinstance(part, AssetChecksDefinition)],
        asset_checks=[part for part in parts if isinstance(part, AssetChecksDefinition)],
        jobs=[
            job(system)
            for system in SYSTEMS
            for job in JOBS
        ],
        sensors=[part for part in automation if isinstance(part, dg.SensorDefinition)],
        schedules=[part for part in automation if isinstance(part, dg.ScheduleDefinition)],
        resources={"settings": settings, "duckdb": lake_resource(settings, SYSTEMS)},
        executor=dg.in_process_executor,
    )


def _sound() -> Settings:
    """The environment's settings. Raises StateDamaged if a file of the installation is damaged."""
    settings = Settings.from_environment()
    check(settings)
    share_old_clock(settings.var)
    return settings


defs = definitions(_sound())
