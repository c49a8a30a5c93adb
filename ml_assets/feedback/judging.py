"""Decides, at the end of a day, on every version that is being tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from math import exp

from ml_assets.core.errors import NotReady
from ml_assets.core.policies import RolloutPolicy
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.feedback.pairs import Paired, Pairs, paired
from ml_assets.registry.aliases import follow
from ml_assets.registry.deployments import Deployment, Deployments
from ml_assets.registry.judgement import (
    Evidence,
    Judged,
    PartEvidence,
    judge_challenger,
    judge_champion,
)
from ml_assets.registry.models import ModelRegistry
from ml_assets.registry.promotion import ship
from ml_assets.registry.record import BY_GUARDRAIL
from ml_assets.registry.rollout import Shadow
from ml_assets.registry.trials import Tried, challenged, superseded, watched


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What came of a version that was tried: the evidence, and what was done."""

    evidence: Evidence
    judged: Judged

    @property
    def pairs(self) -> int:
        """Outcomes that it was judged by."""
        return self.evidence.pairs


@dataclass(frozen=True, kw_only=True)
class TrialFinding:
    """One line of what a day's judgement rests on."""

    version: int
    did: str
    on: str
    pairs: int
    lead: float | None
    low: float | None
    high: float | None
    evidence_better: str
    evidence_worse: str


def told(decided: Sequence[Decided]) -> list[TrialFinding]:
    """The evidence on each version that is tried, all rows first."""
    return [
        TrialFinding(
            version=each.judged.version,
            did=type(each.judged.action).__name__.lower() if each.judged.action else "hold",
            on=part.name or "all", pairs=part.pairs, lead=part.lead, low=part.low, high=part.high,
            evidence_better=_e_value(part.better), evidence_worse=_e_value(part.worse),
        )
        for each in decided for part in each.evidence.parts
    ]


def guarded(system: System, settings: Settings, day: date) -> list[str]:
    """Why guardrails of the API took versions out on that day, in the order of time."""
    return [record.reason for record in Deployments(settings.deployments).history(system.name)
            if record.by.startswith(BY_GUARDRAIL) and record.at.date() == day]


def _e_value(log_e: float) -> str:
    """As people read it: 1 says nothing, 20 is evidence at a level of 5%."""
    return f"{exp(log_e):.3g}" if log_e < 20 else f"e^{log_e:.0f}"


def decide_day(system: System, settings: Settings, day: date, *, by: str) -> list[Decided]:
    """Judge the new champion and each challenger by what is known at the end of the day, carry it
    out, and let the next candidate in if none is tried any more.

    Asked again, it does nothing more: each step needs outcomes of its own.
    """
    registry, deployments = ModelRegistry(settings), Deployments(settings.deployments)
    end, now = midnight(day) + DAY, settings.clock_of(system.name).now()
    decided = decide_trials(
        system, deployments, by=by, at=now,
        evidence=lambda tried, history: _evidence(system, settings, registry, tried, history, end),
        let_in=lambda: _let_in(system, registry, deployments, by=by, at=now))
    follow(system.name, registry, deployments)
    return decided


def decide_trials(
    system: System, deployments: Deployments, *,
    evidence: Callable[[Tried, Sequence[Deployment]], Evidence], let_in: Callable[[], None],
    by: str, at: datetime,
) -> list[Decided]:
    """Judge what is tried, by the evidence on it, and carry it out.

    let_in: brings the next candidate in, once none is tried any more
    """
    history = deployments.history(system.name)
    decided = list[Decided]()
    new = watched(history)
    if new is not None:
        found = evidence(new, history)
        judged = judge_champion(new, found, system.rollout, now=at)
        decided.append(Decided(evidence=found, judged=judged))
        history = _act(system, deployments, history, judged, by=by, at=at)
    trials = challenged(history)
    for tried in trials:
        if tried not in challenged(history):
            continue  # the champion that it was compared with has gone
        found = evidence(tried, history)
        judged = judge_challenger(tried, found, system.rollout, now=at, trials=len(trials))
        decided.append(Decided(evidence=found, judged=judged))
        history = _act(system, deployments, history, judged, by=by, at=at)
    for version in superseded(history):
        history = _act(system, deployments, history, Judged(
            version=version, action=Shadow(version=version, stop=True),
            reason=f"version {version} retires, version {history[-1].version} is the champion"),
            by=by, at=at)
    if history and not challenged(history):
        let_in()
    return decided


def _let_in(
    system: System, registry: ModelRegistry, deployments: Deployments, *, by: str, at: datetime
) -> None:
    """The latest candidate, if it was evaluated and has waited for its trial."""
    try:
        ship(system.name, registry, deployments, by=by, at=at)
    except NotReady:
        return  # it is being evaluated: its own run lets it in


def _act(
    system: System, deployments: Deployments, history: Sequence[Deployment], judged: Judged, *,
    by: str, at: datetime,
) -> list[Deployment]:
    if judged.action is not None:
        deployments.act(system.name, judged.action, reason=judged.reason, by=by, at=at,
                        expecting=history[-1].id)
    return deployments.history(system.name)


def _evidence(
    system: System, settings: Settings, registry: ModelRegistry, tried: Tried,
    history: Sequence[Deployment], end: datetime,
) -> Evidence:
    report = registry.evaluation(system.name, tried.version) or {}
    bound = report.get("largest_loss")
    if bound is None:
        return Evidence(missing=f"version {tried.version} has no evaluation that bounds its "
                                f"losses: materialise {system.name}/evaluation")
    return weighed(paired(system, settings, tried, history, bound=float(bound), end=end),
                   system.rollout, step_at=tried.step_at)


def weighed(
    pairs: Paired, policy: RolloutPolicy, *, step_at: datetime, intervals: bool = True
) -> Evidence:
    """What outcomes say: pairs, of all rows and of each slice, and what is taken of own pages.

    intervals: without them the same is decided at a tenth of the cost
    """
    parts: list[tuple[str | None, Pairs]] = [(None, pairs.whole), *pairs.slices.items()]
    own = () if pairs.own is None else (pairs.own.part,)
    return Evidence(
        parts=(*(_part(name, each, policy, intervals) for name, each in parts), *own),
        step_pairs=int((pairs.at >= step_at).sum()))


def _part(name: str | None, pairs: Pairs, policy: RolloutPolicy, intervals: bool) -> PartEvidence:
    leads = pairs.whole
    if not leads.rows:
        return PartEvidence(name=name, pairs=0, lead=None, low=None, high=None, better=0.0,
                            worse=0.0)
    low, high = leads.interval() if intervals else (None, None)
    return PartEvidence(
        name=name, pairs=leads.rows, lead=leads.mean, low=low, high=high,
        better=pairs.supporting.against(-policy.worse_by),
        worse=pairs.accusing.mirrored.against(0.0),
    )
