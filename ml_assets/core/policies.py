"""The decisions that a system declares instead of coding: gates, rollout, retraining, drift.

All are frozen and keyword-only; a wrong value fails on construction, naming the field.
"""

from __future__ import annotations

from datetime import timedelta
from math import isfinite
from typing import Literal

from ml_assets.core.declaration import declaration
from ml_assets.core.errors import DeclarationError


def require(condition: bool, owner: object, field: str, found: object, expected: str) -> None:
    """Raise DeclarationError, naming the field, unless `condition` holds."""
    if not condition:
        name = owner if isinstance(owner, str) else type(owner).__name__
        raise DeclarationError(f"{name}.{field} is {found!r}; expected {expected}")


@declaration
class Gate:
    """One condition that keeps a broken candidate out, on held-out, later events.

    `metric` is one of those that the system's target has.
    `at_least` and `at_most` bound the candidate's own value. `better_than_champion_by`
    compares with the champion on the same events: by how much the candidate should be better (a
    negative margin allows it to be that much worse), in the metric's unit and direction; the gate
    passes if there is no champion. `slice` restricts the gate to one declared slice.

    A first model must meet its bounds. Of a later one, few held-out rows say too little to choose
    by: a gate refuses it if the 95% interval of what was measured lies wholly on the wrong side
    of the bound. Whether it takes over is decided by live outcomes, see `RolloutPolicy`.
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    better_than_champion_by: float | None = None
    slice: str | None = None

    def __post_init__(self) -> None:
        bounds = [self.at_least, self.at_most, self.better_than_champion_by]
        given = sum(bound is not None for bound in bounds)
        require(given == 1, self, "at_least / at_most / better_than_champion_by", bounds,
                "exactly one of them")

    @property
    def name(self) -> str:
        """An identifier, unique within a system; names the asset check."""
        kind = ("better" if self.better_than_champion_by is not None
                else "floor" if self.at_least is not None else "ceiling")
        parts = [self.metric.replace("%", "pc").replace(".", "_"), kind, self.slice]
        return "_".join(part for part in parts if part)


@declaration
class Slice:
    """A subset of the events that is judged separately: those for which the SQL `where` holds.

    It may use the system's columns and the features of its service; loading the definitions
    rejects any other name.
    """

    name: str
    where: str
    description: str

    def __post_init__(self) -> None:
        require(self.name.isidentifier(), self, "name", self.name, "an identifier")


@declaration
class Guardrails:
    """What takes a version out at once: its faults beside those of the one it is compared with.

    A challenger is compared with the champion, a new champion with its predecessor, on the same
    events at the same time; what happens to both alike is the fault of neither. None switches one
    off. Outputs that the target does not allow, such as NaN, and other outputs for the same event
    are never tolerated.

    level: the chance that any of them takes out a version which keeps to them, in its whole life
        (of each start of the API)
    failures: the share of events that it may fail to score and the other one scores
    slow_ms: how long it may take to score an event; twice as long as the other one takes, if that
        is more. In one of twenty it may take longer: this is a bound of the 95% quantile.
    degraded: by how much its share of answers without features may exceed the other's
    changed: the share of events for which an output may be on another side of a cut than the
        other's: cuts divide the range of outputs evenly, from 0 to 1 if they are probabilities.
        A new model may change its mind; one that says something else of so many is broken. Of
        slates: the share, at least a half, that it may have rather the other way round
    constant_after: outputs that are all the same, so many times in a row, while the other's differ
    """

    level: float = 0.01
    failures: float | None = 0.0005
    slow_ms: float | None = 10.0
    degraded: float | None = 0.05
    changed: float | None = 0.4
    constant_after: int | None = 50

    def __post_init__(self) -> None:
        for name in ("level", "failures", "degraded", "changed"):
            share: float | None = getattr(self, name)
            require(share is None or 0 < share < 0.9, self, name, share,
                    "a share in (0, 0.9)" if name == "level" else "none, or a share in (0, 0.9)")
        require(self.slow_ms is None or self.slow_ms > 0, self, "slow_ms", self.slow_ms,
                "none, or a positive time")
        require(self.constant_after is None or self.constant_after >= 10, self, "constant_after",
                self.constant_after, "none, or at least 10")


@declaration
class RolloutPolicy:
    """How a candidate that passed its gates becomes the champion, and what sends it back.

    It scores in the champion's shadow, then answers a growing share of the traffic. Each day the
    losses of both on the same matured outcomes decide, by tests that may be asked every day.

    shares: of the traffic, one after the other; none lets a shadow take over at once
    step_labels: paired outcomes after which the next share is due, unless there is evidence
        sooner
    level: the chance that a challenger which is not better is promoted, in its whole life
    harm_level: the chance that one which is nowhere worse is sent back, in its whole life and
        once more as a new champion; split over all rows and the declared slices
    worse_by: by how much the mean loss of a row may exceed the champion's, in the target's unit
        of loss. 0 promotes on evidence of improvement, more on evidence of no such harm.
    deadline: after so long without evidence `at_deadline` decides: keep the champion, or promote
    deadline_labels: paired outcomes without which the deadline promotes nobody, and the trial goes
        on: if labels fail to come, nothing has shown that the version does no harm. 0 where the
        truth comes after the deadline
    watch: so long a predecessor scores in the new champion's shadow, to be put back if that
        proves worse
    approval: whether a person must approve each promotion
    guardrails: what takes a version out at once, without waiting for outcomes; None for nothing
    """

    shares: tuple[float, ...] = (0.1, 0.5)
    step_labels: int = 100
    level: float = 0.05
    harm_level: float = 0.05
    worse_by: float = 0.0
    deadline: timedelta = timedelta(days=28)
    at_deadline: Literal["keep", "promote"] = "keep"
    deadline_labels: int = 20
    watch: timedelta = timedelta(days=14)
    approval: bool = False
    guardrails: Guardrails | None = Guardrails()

    def __post_init__(self) -> None:
        require(all(0 < share <= 0.5 for share in self.shares)
                and list(self.shares) == sorted(set(self.shares)), self, "shares", self.shares,
                "rising shares in (0, 0.5]")
        require(self.step_labels >= 1, self, "step_labels", self.step_labels, "at least 1")
        for name in ("level", "harm_level"):
            level: float = getattr(self, name)
            require(0 < level < 1, self, name, level, "a chance in (0, 1)")
        require(self.worse_by >= 0, self, "worse_by", self.worse_by, "a loss, 0 or more")
        require(self.deadline > timedelta(0), self, "deadline", self.deadline, "a positive time")
        require(self.deadline_labels >= 0, self, "deadline_labels", self.deadline_labels,
                "0 or more")
        require(self.watch >= timedelta(0), self, "watch", self.watch, "no negative time")


@declaration
class Worth:
    """What a training costs, so that a model is retrained if that is expected to pay.

    A model that has not seen the latest labels loses more than one that has. How much, is
    estimated from what past retrainings brought. Once all rows that were answered since the last
    training are expected to have lost `training` in this way, the next one is due: for a gap that
    grows evenly this is the schedule of least total cost, and it never costs more than twice what
    the best decision in hindsight would have.

    training: the cost of a training, in the unit of `measure`, summed over rows: 20 (EUR)
    measure: a metric of the target that is a mean of rows, lower is better; None for the loss
        that all targets have
    prior: what is expected before anything was observed: by which share the measure falls if all
        labels that a model learns from are new. It weighs as much as one retraining.
    """

    training: float
    measure: str | None = None
    prior: float = 0.1

    def __post_init__(self) -> None:
        require(isfinite(self.training) and self.training > 0, self, "training", self.training,
                "a cost above 0")
        require(isfinite(self.prior) and self.prior > 0, self, "prior", self.prior,
                "a share above 0")


@declaration
class RetrainingPolicy:
    """When a model is retrained. Each reason holds by itself, and None or False leaves it out.

    after_labels: after this many newly matured labels since the last training
    max_age: if the champion's training is older than this
    on_drift: if drift is confirmed; on_fall: if live quality has significantly fallen
    worth: if a new model is expected to be worth its training, see `Worth`
    cooldown: no two trainings start within this time, for any reason. One that failed before its
        candidate was judged is asked for again after it, then after twice as long, and so on, see
        `automation.retraining.backs_off`
    weigh_again: confirmed drift or fallen quality that still stands so long after a candidate was
        judged, and while none is on trial, is a reason once more
    """

    after_labels: int | None = None
    max_age: timedelta | None = None
    on_drift: bool = True
    on_fall: bool = True
    worth: Worth | None = None
    cooldown: timedelta
    weigh_again: timedelta = timedelta(days=7)

    def __post_init__(self) -> None:
        zero = timedelta(0)
        require(self.after_labels is None or self.after_labels > 0, self, "after_labels",
                self.after_labels, "at least 1, or None")
        require(self.max_age is None or self.max_age > zero, self, "max_age", self.max_age,
                "a positive time, or None")
        require(self.cooldown >= zero, self, "cooldown", self.cooldown, "no negative time")
        require(self.weigh_again > zero, self, "weigh_again", self.weigh_again, "a positive time")


@declaration
class AlertPolicy:
    """How the owners of a system are told what is wrong with it.

    repeat: what still stands is told again after so long, and nothing more often
    """

    repeat: timedelta = timedelta(days=1)

    def __post_init__(self) -> None:
        require(self.repeat >= timedelta(minutes=1), self, "repeat", self.repeat,
                "at least a minute")


@declaration
class DriftPolicy:
    """When a change in inputs or scores counts as drift.

    A feature, a category of the events, or the model's score drifts if its rows since some day
    differ from the champion's training set by at least `effect` (population stability index), or
    their share of missing values by `missing_effect`, *and* if that is no chance: over all columns
    and all days of a champion's reign, false discoveries are at most `false_discovery_rate`
    (e-values of every day, e-BH), so this bounds the chance of any alarm while nothing changes.
    Drift is confirmed once it has lasted `persistence` days. Days whose window begins before going
    live do not count.

    An index of .05 is a shift of about .22 standard deviations: `effect` says what matters, the
    test what is sure. `window` is how many days effects are measured over at most.
    """

    window: timedelta = timedelta(days=7)
    effect: float = 0.05
    missing_effect: float = 0.03
    false_discovery_rate: float = 0.05
    persistence: int = 3
    min_events: int = 100

    def __post_init__(self) -> None:
        require(self.window >= timedelta(days=1), self, "window", self.window, "at least a day")
        require(self.effect > 0, self, "effect", self.effect, "a positive index")
        require(0 < self.missing_effect <= 1, self, "missing_effect", self.missing_effect,
                "a share in (0, 1]")
        require(0 < self.false_discovery_rate < 1, self, "false_discovery_rate",
                self.false_discovery_rate, "a share in (0, 1)")
        require(self.persistence >= 1, self, "persistence", self.persistence, "at least 1 day")
