"""Changes of who answers that a person asks for: checked against the registry, then recorded."""

from __future__ import annotations

from datetime import datetime

from ml_assets.registry.deployments import Deployment, Deployments
from ml_assets.registry.models import ModelRegistry
from ml_assets.registry.rollout import Action, Canary, Promote, Rollout, Shadow


def steer(
    system: str,
    action: Action,
    registry: ModelRegistry,
    deployments: Deployments,
    *,
    reason: str,
    by: str,
    at: datetime,
) -> Deployment:
    """Carry the action out; the record that is in force now.

    MLflow is asked only about a version that is new to the record: taking one out of traffic
    and rolling back work without it, and at once. Its aliases follow by `aliases.follow`.
    Raises UnknownName, with the known versions, if MLflow has no such version, and what
    `Deployments.act` raises.
    """
    new = brought_in(deployments.current(system), action)
    if new is not None:
        registry.get(system, new)
    return deployments.act(system, action, reason=reason, by=by, at=at)


def brought_in(current: Rollout | None, action: Action) -> int | None:
    """The version that the action would give a role and that has none yet."""
    match action:
        case Promote(version=version):
            pass
        case Canary(version=version, share=share) if share > 0:
            pass
        case Shadow(version=version, stop=False):
            pass
        case _:
            return None
    return None if current is not None and version in current.named else version
