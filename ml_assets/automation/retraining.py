"""Whether to train now, and the sentence that says why.

Pure: sensors, the schedule and the replay all ask this one function, each for the kinds of reason
that are its own, so one that is switched off hides no reason of another.

A reason ends when a candidate was judged: trained, evaluated, and refused or let in. What the
candidate could know counts, in closed days: evidence of a later day is a new reason, whatever the
clock says. A reason that meets a training in progress, the cooldown or a back-off is not lost, nor
is one whose training failed: it still holds in the next situation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, get_args

from ml_assets.automation.worth import ExpectedBenefit, Lag, weigh
from ml_assets.core.policies import RetrainingPolicy, require
from ml_assets.core.time import in_words

Reason = Literal["first", "labels", "drift", "performance", "worth", "age"]
KINDS: tuple[Reason, ...] = get_args(Reason)
"""In the order in which they are named if several hold."""

SOONEST_AGAIN = timedelta(hours=1)
"""After which a failed training is asked for again, if the cooldown is shorter."""
LATEST_AGAIN = timedelta(days=7)
"""However often a training has failed, it is asked for again after so long, or the cooldown."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What is known at `now`, aware UTC.

    last_trained_at: as of when the training set was built of the latest training whose candidate
        was judged, deployed or not; one that failed or died earlier does not count
    learnt_until: the end of the last closed day that this training could know; None if none was
        judged
    new_labels: distinct events whose label became known in `[learnt_until, now)`, or ever
    attempted_at: when a training was last asked for that has not been judged; None if none was
    failed: how many trainings in a row ended without a judged candidate
    drift_confirmed: the columns whose drift is confirmed; `drift_confirmed_at` is since when any
        has been, without a break
    fallen_at: since when the champion's live quality has been significantly below its held-out
        quality; None if it holds
    champion_age: since the champion's own training; None if nothing is deployed
    measure, lag, benefit: what the worth of a training is counted in, how far the model is behind
        one of today, and what that is expected to cost; None if it is not known
    on_trial: the versions that may become champion, on which live outcomes have not decided yet
    """

    now: datetime
    new_labels: int = 0
    last_trained_at: datetime | None = None
    learnt_until: datetime | None = None
    training_in_progress: bool = False
    attempted_at: datetime | None = None
    failed: int = 0
    drift_confirmed: tuple[str, ...] = ()
    drift_confirmed_at: datetime | None = None
    fallen_at: datetime | None = None
    champion_age: timedelta | None = None
    measure: str = ""
    lag: Lag = field(default_factory=Lag)
    benefit: ExpectedBenefit | None = None
    on_trial: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        require(self.new_labels >= 0, self, "new_labels", self.new_labels, "a count")
        require(self.failed >= 0, self, "failed", self.failed, "a count")
        require((self.last_trained_at is None) == (self.learnt_until is None), self,
                "learnt_until", self.learnt_until, "an instant if and only if last_trained_at is")
        require(bool(self.drift_confirmed) == (self.drift_confirmed_at is not None), self,
                "drift_confirmed_at", self.drift_confirmed_at,
                "an instant if and only if drift_confirmed names columns")


@dataclass(frozen=True, kw_only=True)
class RetrainingDecision:
    """Train or wait. `reason` is one plain sentence with the numbers and their thresholds."""

    train: bool
    reason: str
    kind: Reason | Literal["none"]


def decide(
    situation: Situation, policy: RetrainingPolicy, kinds: Collection[Reason] = KINDS
) -> RetrainingDecision:
    """The decision that `policy` takes in `situation`, for reasons of these kinds.

    If several hold, it names the first of: labels, drift, performance, worth, age.
    """
    if situation.training_in_progress:
        return _wait("a training is in progress: wait for it to end")
    standing = dict(reasons(situation, policy))
    own = [(kind, said) for kind, said in standing.items() if kind in kinds]
    if not own:
        others = "; ".join(standing.values())
        return _wait(f"{others}, which another automaton asks for: wait" if others else
                     _seen(situation, policy))
    kind, said = own[0]
    held = _held_back(situation, policy)
    if held is not None:
        return _wait(f"{said}, but {held}")
    deed = "train" if kind == "first" else "retrain"
    return RetrainingDecision(train=True, reason=f"{said}: {deed}", kind=kind)


def reasons(situation: Situation, policy: RetrainingPolicy) -> Iterator[tuple[Reason, str]]:
    """Every reason that no judged candidate has answered yet, as kind and sentence."""
    last, learnt = situation.last_trained_at, situation.learnt_until
    if last is None or learnt is None:
        if situation.new_labels > 0:
            yield "first", (f"nothing has been trained yet and {_labels(situation.new_labels)} "
                            "matured")
        return
    if policy.after_labels is not None and situation.new_labels >= policy.after_labels:
        yield "labels", (
            f"{_labels(situation.new_labels)} matured since the last training on {last.date()}, "
            f"threshold {policy.after_labels}"
        )
    if policy.on_drift and situation.drift_confirmed_at is not None:
        arose = _arose(situation, policy, situation.drift_confirmed_at)
        if arose is not None:
            yield "drift", (f"drift of {_names(situation.drift_confirmed)} has stood confirmed "
                            f"since {arose}")
    if policy.on_fall and situation.fallen_at is not None:
        arose = _arose(situation, policy, situation.fallen_at)
        if arose is not None:
            yield "performance", (
                f"live quality has been significantly worse than its standard since {arose}")
    worth = _worth(situation, policy)
    if worth is not None and worth[0] and not situation.on_trial:
        yield "worth", worth[1]
    # A training of that age whose model was not deployed must not repeat after each cooldown.
    age = situation.now - last
    if situation.champion_age is not None:
        age = min(age, situation.champion_age)
    if policy.max_age is not None and age > policy.max_age:
        yield "age", (
            f"the model is {in_words(situation.champion_age or age)} old (limit "
            f"{in_words(policy.max_age)}) and nothing was trained for {in_words(age)}"
        )


def _arose(situation: Situation, policy: RetrainingPolicy, at: datetime) -> str | None:
    """Since when an alarm has stood, if that is a reason; None if it is not."""
    last, learnt = situation.last_trained_at, situation.learnt_until
    assert last is not None and learnt is not None
    if at > learnt:
        return f"{_minute(at)}, after the last training on {last.date()}"
    if not situation.on_trial and situation.now - last >= policy.weigh_again:
        return (f"{_minute(at)}, and the candidate of {last.date()} has not ended it in "
                f"{in_words(policy.weigh_again)}")
    return None


def _worth(situation: Situation, policy: RetrainingPolicy) -> tuple[bool, str] | None:
    """Whether a training is worth its cost, and the numbers; None if that is not asked or known."""
    if policy.worth is None or situation.benefit is None:
        return None
    return weigh(policy.worth, situation.measure, situation.lag, situation.benefit)


def backs_off(policy: RetrainingPolicy, failed: int) -> timedelta:
    """How long after its request a training is asked for again, if so many in a row failed.

    >>> policy = RetrainingPolicy(cooldown=timedelta(hours=12))
    >>> [str(backs_off(policy, failed)) for failed in (1, 2, 3, 4, 9)]
    ['12:00:00', '1 day, 0:00:00', '2 days, 0:00:00', '4 days, 0:00:00', '7 days, 0:00:00']
    """
    first = max(policy.cooldown, SOONEST_AGAIN)
    return min(first * (1 << min(failed - 1, 20)), max(first, LATEST_AGAIN))


def _held_back(situation: Situation, policy: RetrainingPolicy) -> str | None:
    """Why a training must not start yet, and until when; None if it may.

    An instant so far ahead of the clock that this would take longer was set by another clock, and
    holds nothing back.
    """
    now = situation.now
    said = list[tuple[datetime, str]]()
    if situation.attempted_at is not None:
        rest = backs_off(policy, situation.failed) if situation.failed else policy.cooldown
        if abs(now - situation.attempted_at) < rest:
            why = ("the last training was asked for" if not situation.failed else
                   f"the last training failed ({situation.failed} in a row), asked for")
            limit = "back-off" if situation.failed else "cooldown"
            said.append((situation.attempted_at + rest,
                         f"{why} {_ago(now - situation.attempted_at)} ({limit} {in_words(rest)})"))
    last = situation.last_trained_at
    if last is not None and abs(now - last) < policy.cooldown:
        said.append((last + policy.cooldown, f"the last training started {_ago(now - last)} "
                                             f"(cooldown {in_words(policy.cooldown)})"))
    if not said:
        return None
    until, why = max(said)
    return f"{why}: wait until {_minute(until)}"


def _seen(situation: Situation, policy: RetrainingPolicy) -> str:
    """What was seen if nothing calls for a training, and why that means waiting."""
    last = situation.last_trained_at
    if last is None:
        return "nothing has been trained yet and no label has matured: wait"
    of = "" if policy.after_labels is None else f" of {policy.after_labels}"
    seen = [f"{situation.new_labels}{of} labels matured since the last training on {last.date()}"]
    if situation.drift_confirmed:
        seen.append(f"the drift of {_names(situation.drift_confirmed)} was confirmed "
                    + (f"before it and {_again(situation, policy)}" if policy.on_drift else
                       "and is no reason here"))
    else:
        seen.append("no drift confirmed")
    if situation.fallen_at is not None:
        seen.append("live quality had fallen "
                    + (f"before it and {_again(situation, policy)}" if policy.on_fall else
                       "and is no reason here"))
    else:
        seen.append("live quality holds")
    worth = _worth(situation, policy)
    if worth is not None:
        seen.append(worth[1] + (f", but version {situation.on_trial[0]} is on trial"
                                if worth[0] and situation.on_trial else ""))
    age = situation.champion_age
    if age is None:
        seen.append("no model is deployed")
    elif policy.max_age is None:
        seen.append(f"the model is {in_words(age)} old")
    else:
        seen.append(f"the model is {in_words(age)} old (limit {in_words(policy.max_age)})")
    if age is None or policy.max_age is None or age <= policy.max_age:
        return f"{', '.join(seen)}: wait"
    return (
        f"{', '.join(seen)}, but the training {_ago(situation.now - last)} put no newer one in "
        f"traffic, and age counts from it: wait until {_minute(last + policy.max_age)}"
    )


def _again(situation: Situation, policy: RetrainingPolicy) -> str:
    """What becomes of an alarm that the last candidate has seen."""
    if situation.on_trial:
        return f"version {situation.on_trial[0]} is on trial"
    last = situation.last_trained_at
    return "" if last is None else f"is weighed again on {_minute(last + policy.weigh_again)}"


def figures(situation: Situation, policy: RetrainingPolicy) -> dict[str, float | int]:
    """What of a situation is followed from day to day; without what is not known."""
    found: dict[str, float | int] = {
        "new_labels": situation.new_labels, "failed": situation.failed,
        "drifting": len(situation.drift_confirmed),
        "quality_fallen": int(situation.fallen_at is not None),
    }
    if situation.champion_age is not None:
        found["age_days"] = situation.champion_age / timedelta(days=1)
    if policy.worth is not None and situation.benefit is not None:
        found |= {"new_share": situation.lag.fresh, "training_costs": policy.worth.training,
                  "lag_cost": max(situation.benefit.mean, 0.0) * situation.lag.missed,
                  "benefit": situation.benefit.mean}
    return found


def _wait(reason: str) -> RetrainingDecision:
    return RetrainingDecision(train=False, reason=reason, kind="none")


def _labels(count: int) -> str:
    return "1 label" if count == 1 else f"{count} labels"


def _names(columns: tuple[str, ...], most: int = 3) -> str:
    """The first columns by name, and how many more."""
    more = len(columns) - most
    return ", ".join(columns[:most]) + (f" and {more} more" if more > 0 else "")


def _minute(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}"


def _ago(span: timedelta) -> str:
    return (f"{in_words(span)} ago" if span >= timedelta(0) else
            f"{in_words(-span)} ahead of the clock")
