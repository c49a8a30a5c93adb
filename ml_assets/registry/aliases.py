"""MLflow's aliases `champion` and `challenger` name what the deployment record says.

They are for people and for programs that ask MLflow alone. Nothing here reads them back.
"""

from __future__ import annotations

from ml_assets.registry.deployments import Deployment, Deployments
from ml_assets.registry.models import Alias, ModelRegistry
from ml_assets.registry.rollout import Rollout


def follow(system: str, registry: ModelRegistry, deployments: Deployments) -> None:
    """Let the aliases name what is in force now; nothing changes if they do."""
    current = deployments.current(system)
    if current is None:
        return
    wanted: dict[Alias, int | None] = {
        "champion": current.version, "challenger": first_challenger(_tried(current))
    }
    for alias, version in wanted.items():
        if registry.aliased(system, alias) == version:
            continue
        if version is None:
            registry.remove_alias(system, alias)
        else:
            registry.set_alias(system, alias, version)


def _tried(current: Deployment) -> Rollout:
    """Without the champion before this one, if it is a shadow so that it can be put back."""
    return current.only([each for each in current.named
                         if each != current.previous or each not in current.shadows])


def first_challenger(rollout: Rollout) -> int | None:
    """The one that `challenger` names, since an alias names one version.

    The challenger with the largest share; of equal ones the latest version; if none has
    traffic, the latest shadow.
    """
    if rollout.challengers:
        return max(rollout.challengers, key=lambda each: (each.share, each.version)).version
    return max(rollout.shadows, default=None)
