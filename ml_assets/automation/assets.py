"""`retraining`: at the end of each day, whether a training is due, and why."""

from typing import Any

import dagster as dg

from ml_assets.automation.attempts import attempts_at
from ml_assets.automation.jobs import RETRAINING
from ml_assets.core.assets import Materialized, attributes, key, keys, shown
from ml_assets.core.settings import Settings
from ml_assets.core.system import System


def build(system: System) -> list[Any]:
    return [_retraining(system)]


def _retraining(system: System) -> dg.AssetsDefinition:
    @dg.asset(
        key=key(system, "retraining"),
        deps=keys(system, "labels", "rollout", "drift", "performance"),
        description="Whether a training is due at the end of the day, and why: new labels, drift, "
        "live quality, what the lag of the model is expected to cost beside a training, its age. "
        "It decides nothing: sensors and the schedule ask the same between two days too.",
        code_version="1",
        **attributes(system, "automation", "python"),
    )
    def retraining(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        from ml_assets.automation.retraining import decide, figures
        from ml_assets.automation.situation import gather, judged_at

        now = settings.clock_of(system.name).now()
        attempts = attempts_at(context.instance, settings, system.name,
                               RETRAINING.format(system.name), judged_at(system, settings))
        situation = gather(system, settings, now, attempts)
        decision = decide(situation, system.retraining)
        context.log.info(decision.reason)
        return dg.MaterializeResult(metadata=shown(
            reason=decision.reason, due=decision.kind,
            **figures(situation, system.retraining)))

    return retraining
