"""Whether a candidate comes in, the sentence that says why, and the deed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from ml_assets.core.errors import NotReady
from ml_assets.registry.aliases import follow
from ml_assets.registry.deployments import Deployment, Deployments
from ml_assets.registry.models import ModelRegistry, ModelVersion
from ml_assets.registry.rollout import Action, Promote, Shadow
from ml_assets.registry.trials import challenged, had_its_trial


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What the gates say of a candidate. `reason` is one plain sentence with the numbers.

    action: what brings it in: the first model becomes the champion, a later one the champion's
        shadow; None if it stays out, or waits
    waits: it will come in once the one that is being tried has its verdict
    """

    action: Action | None
    reason: str
    waits: bool = False


def admit(report: Mapping[str, Any], history: Sequence[Deployment]) -> Entry:
    """What the stored verdict of an evaluation means for the deployments so far.

    report: `system`, `candidate` and `gates`, each with `name`, `comparing`, `passed` and `says`,
        as `evaluation.report` writes them
    history: all records of the system, oldest first

    Asked again after its own answer was carried out, it changes nothing. A version that had its
    trial has no second one.
    """
    candidate = int(report["candidate"])
    current = history[-1] if history else None
    if current is not None and (role := current.role(candidate)) is not None:
        return Entry(action=None, reason=f"version {candidate} is {role} already")
    if current is not None and had_its_trial(history, candidate):
        return Entry(action=None, reason=(
            f"version {candidate} had its trial ({_ended(history, candidate)}): train a new "
            "candidate"))
    failed = [gate for gate in report["gates"] if not gate["passed"]]
    if failed:
        kept = "nothing is deployed" if current is None else f"version {current.version} stays"
        said = "; ".join(f"{gate['name']}: {gate['says']}" for gate in failed)
        return Entry(action=None, reason=f"{kept}, version {candidate} failed {said}")
    # Of the first model one wants to know whether it is good, of a later one how much better.
    telling = [gate["says"] for gate in report["gates"] if gate["comparing"] == bool(current)]
    passed = _passed(len(report["gates"])) + (f": {'; '.join(telling)}" if telling else "")
    if current is None:
        return Entry(action=Promote(version=candidate), reason=f"the first model, {passed}")
    tried = challenged(history)
    if tried:
        return Entry(action=None, waits=True, reason=(
            f"version {candidate} waits until version {tried[0].version} has its verdict, "
            f"{passed}"))
    return Entry(action=Shadow(version=candidate),
                 reason=f"version {candidate} challenges version {current.version}, {passed}")


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """What came of a candidate.

    current: what is in force now, None if nothing is; reason: why the candidate came in, or why
    it was left; count: the system's records so far; waits: see `Entry`
    """

    candidate: ModelVersion
    current: Deployment | None
    reason: str
    count: int
    waits: bool = False

    @property
    def candidate_came_in(self) -> bool:
        """Whether it has a role, or will have one."""
        return self.waits or (
            self.current is not None and self.current.role(self.candidate.version) is not None)

    def figures(self) -> dict[str, Any]:
        """What is in force and why, by name."""
        figures: dict[str, Any] = {
            "candidate": self.candidate.version, "deployments": self.count,
            "reason": self.reason, "mlflow_page": self.candidate.page,
        }
        if self.current is not None:
            figures |= {
                "version": self.current.version, "since": self.current.at.isoformat(),
                "challengers": {str(each.version): each.share
                                for each in self.current.challengers},
                "shadows": list(self.current.shadows),
            }
            if self.current.previous is not None:
                figures["previous"] = self.current.previous
        return figures


def ship(
    system: str, registry: ModelRegistry, deployments: Deployments, *, by: str, at: datetime
) -> Shipped:
    """Let the latest candidate in by its stored evaluation, or leave it.

    The first model becomes the champion at once; a later one challenges the champion from its
    shadow, as soon as no other does. Afterwards MLflow's aliases name what is in force. Raises
    NotReady if there is no candidate, or none that was evaluated.
    """
    candidate = registry.latest(system)
    if candidate is None:
        raise NotReady(f"{system!r} has no model yet: materialise {system}/model first")
    report = registry.evaluation(system, candidate.version)
    if report is None:
        raise NotReady(
            f"version {candidate.version} of {system!r} is not evaluated yet: materialise "
            f"{system}/evaluation first"
        )
    before = deployments.history(system)
    admission = admit(report, before)
    if admission.action is not None:
        deployments.act(system, admission.action, reason=admission.reason, by=by, at=at,
                        expecting=before[-1].id if before else None)
    history = deployments.history(system)
    current = history[-1] if history else None
    follow(system, registry, deployments)
    return Shipped(candidate=candidate, current=current, reason=admission.reason,
                   count=len(history), waits=admission.waits)


def _ended(history: Sequence[Deployment], version: int) -> str:
    """When and why the version was taken out."""
    ended = next(record for before, record in reversed(list(pairwise(history)))
                 if version in before.named and version not in record.named)
    return f"{ended.at:%Y-%m-%d %H:%M}, {ended.reason}"


def _passed(gates: int) -> str:
    if gates == 0:
        return "no gate is declared"
    return "its gate passed" if gates == 1 else f"all {gates} gates passed"

