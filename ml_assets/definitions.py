"""The whole graph: every room's assets for every system. Dagster loads this module."""

import logging
from collections.abc import Sequence
from typing import Any

import dagster as dg

from ml_assets.automation import assets as automation
from ml_assets.automation import sensors
from ml_assets.automation.jobs import jobs_of
from ml_assets.core.assets import flatten
from ml_assets.core.errors import DeclarationError
from ml_assets.core.installation import check, share_old_clock
from ml_assets.core.runtime.isolation import Fault, attempt
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
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
from ml_assets.systems import BROKEN, SYSTEMS
from ml_assets.training import assets as training

log = logging.getLogger(__name__)

FLOW = (ingest, features, training, evaluation, registry, serving, feedback, monitoring,
        automation)
"""The rooms in the order in which data passes through them."""


def definitions(settings: Settings, systems: Sequence[System] | None = None) -> dg.Definitions:
    """Assets, checks, jobs, sensors and schedules of these systems, on `settings`.

    systems: raises what is wrong with one of them. By default all that there are; a broken one is
    then left out, and the log says why, so that it stops no other.
    """
    from dagster import AssetChecksDefinition

    load_manifest(Settings.from_environment())  # a broken repository is nobody's own
    sound = list(systems or ())
    parts = [_parts(system) for system in sound]
    for name, reason in BROKEN.items() if systems is None else ():
        _leave_out(name, reason)
    for system in SYSTEMS if systems is None else ():
        found = attempt(_parts, system)
        if isinstance(found, Fault):
            _leave_out(system.name, found.reason)
        else:
            sound.append(system)
            parts.append(found)
    assets, triggers = flatten(of for of, _ in parts), flatten(of for _, of in parts)
    return dg.Definitions(
        assets=[part for part in assets if not isinstance(part, AssetChecksDefinition)],
        asset_checks=[part for part in assets if isinstance(part, AssetChecksDefinition)],
        jobs=flatten(map(jobs_of, sound)),
        sensors=[part for part in triggers if isinstance(part, dg.SensorDefinition)],
        schedules=[part for part in triggers if isinstance(part, dg.ScheduleDefinition)],
        resources={"settings": settings, "duckdb": lake_resource(settings, sound)},
        executor=executor_of(settings),
    )


def executor_of(settings: Settings) -> dg.ExecutorDefinition:
    """Of all jobs. Steps run one after the other, wherever that is."""
    if settings.steps == "ray":
        from ml_assets.automation.ray_runs import steps_on_ray

        return steps_on_ray(settings.ray)
    if settings.steps == "kubernetes":
        return _steps_on_kubernetes()
    return dg.in_process_executor


def _steps_on_kubernetes() -> dg.ExecutorDefinition:
    try:
        from dagster_k8s import k8s_job_executor
    except ImportError as error:
        raise DeclarationError(
            "ML_ASSETS_STEPS is 'kubernetes', but dagster-k8s is not installed: "
            "pip install 'ml-assets[k8s]', or unset it to execute steps in the process of their run"
        ) from error
    return k8s_job_executor.configured({"max_concurrent": 1})


def _parts(system: System) -> tuple[list[Any], list[Any]]:
    """The assets and checks of a system, its sensors and schedules."""
    manifest = load_manifest(Settings.from_environment())
    require_slices(system, manifest.service(system).features)
    return flatten(room.build(system) for room in FLOW), sensors.build(system)


def _leave_out(name: str, reason: str) -> None:
    log.error("system %r is left out, because it is broken: %s", name, reason)


def _sound() -> Settings:
    """The environment's settings. Raises StateDamaged if a file of the installation is damaged."""
    settings = Settings.from_environment()
    check(settings)
    share_old_clock(settings.var)
    return settings


defs = definitions(_sound())
