"""What evidence means for a version that is tried: its next step, its promotion, its end. Pure.

Whatever was decided can be computed again from the record and the outcomes. A decision changes
nothing but the record, in one transaction and only if no other record has come since: a crash
between two steps loses none of them, and of two decisions at once one is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import log

from ml_assets.core.policies import RolloutPolicy
from ml_assets.core.time import DAY
from ml_assets.registry.rollout import Action, Canary, Promote, Shadow, Withdraw, percent
from ml_assets.registry.trials import Tried


@dataclass(frozen=True, kw_only=True)
class PartEvidence:
    """How two models compare on all paired outcomes, or on those of a slice.

    name: of the slice; None of all
    pairs: outcomes that both models were scored on
    lead: by how much a row of the version loses less than one of its reference, on average;
        low, high: its 95% confidence sequence. None without pairs
    better, worse: ln of the e-values against "it loses at least `worse_by` more", "it loses no
        more"
    said: the numbers in words, where they are none of paired outcomes
    """

    name: str | None
    pairs: int
    lead: float | None
    low: float | None
    high: float | None
    better: float
    worse: float
    said: str | None = None

    @property
    def told(self) -> str:
        """The numbers, as half a sentence."""
        if self.said is not None:
            return self.said
        where = "" if self.name is None else f"on {self.name} "
        if self.lead is None or self.low is None or self.high is None:
            return f"{where}no paired outcome yet"
        return (f"{where}its loss is {abs(self.lead):.4g} "
                f"{'lower' if self.lead >= 0 else 'higher'} on {self.pairs} paired outcomes (95% "
                f"sequence of the lead: {self.low:.3g} to {self.high:.3g})")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """parts: all paired outcomes first, then each slice, then what else there is; step_pairs: of
    all of them since the latest change of the version's share. missing: why there can be none, None
    if there can."""

    parts: tuple[PartEvidence, ...] = ()
    step_pairs: int = 0
    missing: str | None = None

    @property
    def pairs(self) -> int:
        """All paired outcomes since the trial began."""
        return self.parts[0].pairs if self.parts else 0


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What should be done about a version, None for nothing yet, and the sentence that says why.

    harmful: it is taken out on evidence of harm
    """

    version: int
    action: Action | None
    reason: str
    harmful: bool = False


def judge_challenger(
    tried: Tried, evidence: Evidence, policy: RolloutPolicy, *, now: datetime, trials: int = 1
) -> Judged:
    """The next step of a challenger.

    trials: how many are tried at once; they share the level. Evidence of harm, on all rows or on
    a slice, ends the trial. Evidence of improvement takes it on a step, one a day, up to its
    promotion; without it a step takes `step_labels` outcomes, and promotion waits for a deadline
    that promotes, and for `deadline_labels` outcomes.
    """
    version = tried.version
    harmed = _harmed(evidence.parts, policy)
    if harmed is not None:
        return Judged(version=version, action=Withdraw(version=version), harmful=True,
                      reason=f"version {version} is worse than version {tried.reference}: "
                             f"{harmed.told}")
    said = evidence.missing or (evidence.parts[0].told if evidence.parts else
                                "no paired outcome yet")
    better = bool(evidence.parts) and evidence.parts[0].better >= log(trials / policy.level)
    claim = "better" if policy.worse_by == 0 else f"no more than {policy.worse_by:g} worse"
    claim = f"version {version} is {claim} than version {tried.reference}: {said}"
    share = next((each for each in policy.shares if each > tried.share), None)
    late = now - tried.since >= policy.deadline
    promotes = late and policy.at_deadline == "promote"
    if better or (promotes and evidence.pairs >= policy.deadline_labels):
        why = claim if better else f"{_days(policy)} without evidence of harm: {said}"
        if now - tried.step_at < DAY:
            return _hold(version, f"{why}; its next step is due a day after the last")
        if better and share is not None:
            return Judged(version=version, action=Canary(version=version, share=share), reason=why)
        if policy.approval and not tried.approved:
            return _hold(version, f"{why}; it waits for approval (`ml-assets rollout approve`)")
        return Judged(version=version, reason=why,
                      action=Promote(version=version, watched=policy.watch.total_seconds() > 0))
    if late and not promotes:
        return Judged(version=version, action=Withdraw(version=version),
                      reason=f"{_days(policy)} without evidence that version {version} is better: "
                             f"{said}")
    if share is not None and evidence.step_pairs >= policy.step_labels:
        return Judged(
            version=version, action=Canary(version=version, share=share),
            reason=f"no harm in {evidence.step_pairs} outcomes "
                   f"{f'at {percent(tried.share)}' if tried.share else 'in the shadow'}: {said}")
    if promotes:
        return _hold(version, f"its deadline has passed, but {evidence.pairs} paired outcomes are "
                              "too few to show harm; it waits for "
                              f"{policy.deadline_labels}: {said}")
    return _hold(version, f"no evidence yet: {said}")


def judge_champion(
    tried: Tried, evidence: Evidence, policy: RolloutPolicy, *, now: datetime
) -> Judged:
    """What becomes of a new champion: sent back on evidence of harm, or its predecessor retires."""
    harmed = _harmed(evidence.parts, policy)
    if harmed is not None:
        return Judged(
            version=tried.version, harmful=True,
            action=Withdraw(version=tried.version, instead=tried.reference),
            reason=f"version {tried.reference} is back, version {tried.version} is worse: "
                   f"{harmed.told}")
    said = evidence.missing or (evidence.parts[0].told if evidence.parts else
                                "no paired outcome yet")
    if now - tried.since >= policy.watch:
        return Judged(version=tried.reference, action=Shadow(version=tried.reference, stop=True),
                      reason=f"version {tried.reference} retires, version {tried.version} holds: "
                             f"{said}")
    return _hold(tried.version, f"version {tried.version} is watched: {said}")


def _harmed(parts: Sequence[PartEvidence], policy: RolloutPolicy) -> PartEvidence | None:
    """The part with evidence of harm, the strongest; the level is split over all of them."""
    enough = log(len(parts) / policy.harm_level) if parts else 0.0
    return max((part for part in parts if part.worse >= enough), key=lambda part: part.worse,
               default=None)


def _hold(version: int, reason: str) -> Judged:
    return Judged(version=version, action=None, reason=reason)


def _days(policy: RolloutPolicy) -> str:
    days = policy.deadline / DAY
    return "a day" if days == 1 else f"{days:g} days"
