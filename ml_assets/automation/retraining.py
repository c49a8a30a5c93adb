"""Whether to train now, and the sentence that says why.

Pure: sensors, the schedule and the replay all ask this one function. A reason counts only
if it arose after the last training that reached a verdict, whatever the verdict, so one reason
leads to one verdict. A reason that meets a training in progress or the cooldown is not lost, nor is
one whose training died: it still holds in the next situation.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from ml_assets.core.policies import RetrainingPolicy, require

Kind = Literal["first", "labels", "drift", "performance", "age", "none"]


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What is known at `now`, aware UTC.

    new_labels: distinct events whose label became known in `[last_trained_at, now)`, or ever if
        nothing was trained
    last_trained_at: as of when the training set was built for the latest training that reached a
        verdict, deployed or not; trainings that failed or died earlier do not count
    attempted_at: when a training was last requested; the cooldown counts from here too, so a
        failed training is retried, but not at once. An instant after `now` is ignored.
    drift_confirmed: the columns whose drift is confirmed; `drift_confirmed_at` is since when any
        has been, without a break
    fallen_at: since when the champion's live quality has been significantly below its held-out
        quality; None if it holds
    champion_age: since the champion's own training; None if nothing is deployed
    """

    now: datetime
    new_labels: int = 0
    last_trained_at: datetime | None = None
    training_in_progress: bool = False
    attempted_at: datetime | None = None
    drift_confirmed: tuple[str, ...] = ()
    drift_confirmed_at: datetime | None = None
    fallen_at: datetime | None = None
    champion_age: timedelta | None = None

    def __post_init__(self) -> None:
        require(self.new_labels >= 0, self, "new_labels", self.new_labels, "a count")
        require(bool(self.drift_confirmed) == (self.drift_confirmed_at is not None), self,
                "drift_confirmed_at", self.drift_confirmed_at,
                "an instant if and only if drift_confirmed names columns")


@dataclass(frozen=True, kw_only=True)
class RetrainingDecision:
    """Train or wait. `reason` is one plain sentence with the numbers and their thresholds."""

    train: bool
    reason: str
    kind: Kind


def decide(situation: Situation, policy: RetrainingPolicy) -> RetrainingDecision:
    """The decision that `policy` takes in `situation`.

    If several reasons hold, the decision names the first of: labels, drift, performance, age. A
    reason fires no earlier than `policy.cooldown` after the last training.
    """
    if situation.training_in_progress:
        return _wait("a training is in progress: wait for it to end")
    reason = _reason(situation, policy)
    if reason is None:
        return _wait(_seen(situation, policy))
    kind, said = reason
    starts = [at for at in (situation.last_trained_at, situation.attempted_at)
              if at is not None and at <= situation.now]
    if starts and situation.now - max(starts) < policy.cooldown:
        return _wait(
            f"{said}, but the last training started {in_words(situation.now - max(starts))} ago "
            f"(cooldown {in_words(policy.cooldown)}): wait until "
            f"{_minute(max(starts) + policy.cooldown)}"
        )
    deed = "train" if kind == "first" else "retrain"
    return RetrainingDecision(train=True, reason=f"{said}: {deed}", kind=kind)


def _reason(situation: Situation, policy: RetrainingPolicy) -> tuple[Kind, str] | None:
    """The first reason that arose after the last training, as kind and sentence."""
    last = situation.last_trained_at
    if last is None:
        if situation.new_labels == 0:
            return None
        labels = _labels(situation.new_labels)
        return "first", f"nothing has been trained yet and {labels} matured"
    if situation.new_labels >= policy.after_labels:
        return "labels", (
            f"{_labels(situation.new_labels)} matured since the last training on {last.date()}, "
            f"threshold {policy.after_labels}"
        )
    confirmed_at = situation.drift_confirmed_at
    if confirmed_at is not None and confirmed_at > last:
        return "drift", (
            f"drift of {_names(situation.drift_confirmed)} has stood confirmed since "
            f"{_minute(confirmed_at)}, after the last training on {last.date()}"
        )
    fallen_at = situation.fallen_at
    if fallen_at is not None and fallen_at > last:
        return "performance", (
            "live quality has been significantly below the held-out quality since "
            f"{_minute(fallen_at)}, after the last training on {last.date()}"
        )
    # A training of that age whose model was not deployed must not repeat after each cooldown.
    age = situation.now - last
    if situation.champion_age is not None:
        age = min(age, situation.champion_age)
    if age > policy.max_age:
        return "age", (
            f"the model is {in_words(situation.champion_age or age)} old (limit "
            f"{in_words(policy.max_age)}) and nothing was trained for {in_words(age)}"
        )
    return None


def _seen(situation: Situation, policy: RetrainingPolicy) -> str:
    """What was seen if nothing calls for a training, and why that means waiting."""
    last = situation.last_trained_at
    if last is None:
        return "nothing has been trained yet and no label has matured: wait"
    seen = [
        f"{situation.new_labels} of {policy.after_labels} labels matured since the last training "
        f"on {last.date()}"
    ]
    if situation.drift_confirmed:
        seen.append(f"the drift of {_names(situation.drift_confirmed)} was confirmed before it")
    else:
        seen.append("no drift confirmed")
    seen.append("live quality holds" if situation.fallen_at is None
                else "live quality had fallen before it")
    if situation.champion_age is None:
        seen.append("no model is deployed")
        return f"{', '.join(seen)}: wait"
    seen.append(f"the model is {in_words(situation.champion_age)} old "
                f"(limit {in_words(policy.max_age)})")
    if situation.champion_age <= policy.max_age:
        return f"{', '.join(seen)}: wait"
    return (
        f"{', '.join(seen)}, but the training {in_words(situation.now - last)} ago put no newer "
        f"one in traffic, and age counts from it: wait until {_minute(last + policy.max_age)}"
    )


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


def in_words(span: timedelta) -> str:
    """A time span in words: `4 days`, `1.5 days`, `6 hours`, `10 minutes`."""
    for unit, size in (("day", timedelta(days=1)), ("hour", timedelta(hours=1)),
                       ("minute", timedelta(minutes=1))):
        if abs(span) >= size:
            number = round(span / size, 1)
            return f"{number:g} {unit}{'' if number == 1 else 's'}"
    return f"{span.total_seconds():.0f} seconds"
