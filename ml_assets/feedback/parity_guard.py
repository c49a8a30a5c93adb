"""Takes out a version that was served features which history does not give, if the version that it
is compared with was served the right ones.

The API's own guardrails see within a second what plainly breaks; what a vector should have been is
known once a day.
"""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from ml_assets.core.errors import NotReady
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.registry.aliases import follow
from ml_assets.registry.deployments import Deployment, Deployments
from ml_assets.registry.models import ModelRegistry
from ml_assets.registry.record import BY_GUARDRAIL
from ml_assets.registry.rollout import Withdraw
from ml_assets.registry.trials import challenged, watched


def guard_parity(
    system: System, settings: Settings, served: pd.DataFrame, differing: Collection[str]
) -> list[Deployment]:
    """The records that were written. None if the system has no guardrails, or if both versions of
    a comparison were served alike: what happens to both is evidence against neither.

    served: predictions that were checked, of `tables.predictions_schema`; differing: ids of those
    whose features history does not give
    """
    if system.rollout.guardrails is None or not differing:
        return []
    deployments, written = Deployments(settings.deployments), list[Deployment]()
    wrong_N = served["prediction_id"].isin(list(differing))
    history = deployments.history(system.name)
    new = watched(history)
    for trial in (*([] if new is None else [new]), *challenged(history)):
        mine_N, others_N = (served["model_version"] == each
                            for each in (trial.version, trial.reference))
        wrong = int((wrong_N & mine_N).sum())
        if not wrong or not others_N.any() or (wrong_N & others_N).any():
            continue
        reason = (f"version {trial.version} breaches `parity`: {wrong} of {int(mine_N.sum())} "
                  "predictions read features that history does not give, and none of "
                  f"{int(others_N.sum())} of version {trial.reference}")
        try:
            written.append(deployments.act(
                system.name,
                Withdraw(version=trial.version,
                         instead=trial.reference if trial is new else None),
                reason=reason, by=f"{BY_GUARDRAIL} parity",
                at=settings.clock_of(system.name).now(), expecting=history[-1].id))
        except NotReady:
            break  # somebody else was first; the next report sees what is in force then
        history = deployments.history(system.name)
    if written:
        follow(system.name, ModelRegistry(settings), deployments)
    return written
