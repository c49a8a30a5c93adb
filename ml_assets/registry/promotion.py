"""Whether a candidate replaces the champion, the sentence that says why, and the deed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ml_assets.core.errors import NotReady
from ml_assets.registry.aliases import follow
from ml_assets.registry.deployments import Deployment, Deployments, takeovers
from ml_assets.registry.models import ModelRegistry, ModelVersion


@dataclass(frozen=True, kw_only=True)
class PromotionDecision:
    """Ship or keep. `reason` is one plain sentence with the numbers."""

    deploy: bool
    reason: str


def decide(report: Mapping[str, Any], history: Sequence[Deployment]) -> PromotionDecision:
    """What the stored verdict of an evaluation means for the deployments so far.

    report: `system`, `candidate` and `champion` (versions; champion may be None) and `gates`,
        each with `name`, `comparing`, `passed` and `says`, as `evaluation.report` writes them.
    history: all records of the system, oldest first.

    Asked again after its own answer was carried out, it changes nothing. A version that was
    rolled back is not shipped twice. Raises NotReady if the champion is no longer the one
    that the candidate was compared with.
    """
    candidate, compared = int(report["candidate"]), report["champion"]
    champions = takeovers(history)
    current = champions[-1] if champions else None
    if current is not None and current.version == candidate:
        return PromotionDecision(
            deploy=False, reason=f"version {candidate} is the champion already")
    earlier = [deployment for deployment in champions if deployment.version == candidate]
    if current is not None and earlier:
        return PromotionDecision(deploy=False, reason=(
            f"version {candidate} was deployed on {earlier[-1].at:%Y-%m-%d %H:%M} and version "
            f"{current.version} has taken its place since ({current.reason}): train a new candidate"
        ))
    champion = None if current is None else current.version
    if compared != champion:
        system = report["system"]
        raise NotReady(
            f"{system}/evaluation compared version {candidate} with {_version(compared)}, but the "
            f"champion is now {_version(champion)}: materialise {system}/evaluation again"
        )
    failed = [gate for gate in report["gates"] if not gate["passed"]]
    if failed:
        kept = "nothing is deployed" if current is None else f"version {current.version} stays"
        said = "; ".join(f"{gate['name']}: {gate['says']}" for gate in failed)
        return PromotionDecision(deploy=False, reason=f"{kept}, version {candidate} failed {said}")
    # Of the first model one wants to know whether it is good, of a later one how much better.
    telling = [gate["says"] for gate in report["gates"] if gate["comparing"] == bool(current)]
    said = f": {'; '.join(telling)}" if telling else ""
    role = "the first model" if current is None else f"it replaces version {current.version}"
    return PromotionDecision(deploy=True, reason=f"{role}, {_passed(len(report['gates']))}{said}")


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """What came of a candidate.

    current: what is in force now, None if nothing is; reason: why it is, or why the
    candidate was left; count: the system's records so far.
    """

    candidate: ModelVersion
    current: Deployment | None
    reason: str
    count: int

    @property
    def candidate_is_champion(self) -> bool:
        return self.current is not None and self.current.version == self.candidate.version

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
    """Decide on the latest candidate from its stored evaluation, and deploy it or leave it.

    A candidate that ships takes the champion's place; challengers keep their traffic. Afterwards
    MLflow's aliases name what is in force. Raises NotReady if there is no candidate, or none
    that was evaluated.
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
    decision = decide(report, deployments.history(system))
    if decision.deploy:
        deployments.promote(system, candidate.version, reason=decision.reason, by=by, at=at)
    history = deployments.history(system)
    current = history[-1] if history else None
    follow(system, registry, deployments)
    return Shipped(candidate=candidate, current=current, reason=decision.reason,
                   count=len(history))


def _passed(gates: int) -> str:
    if gates == 0:
        return "no gate is declared"
    return "its gate passed" if gates == 1 else f"all {gates} gates passed"


def _version(version: int | None) -> str:
    return "no version" if version is None else f"version {version}"
