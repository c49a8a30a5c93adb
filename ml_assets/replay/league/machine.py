"""One policy's way through a past: served, judged, retrained and let in by the product's code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ml_assets.automation.retraining import Situation, decide
from ml_assets.automation.situation import champion_age
from ml_assets.automation.worth import Day, expected, lag_of
from ml_assets.core.errors import NotReady
from ml_assets.core.policies import RetrainingPolicy
from ml_assets.core.slates import split
from ml_assets.core.system import System
from ml_assets.core.target import Bools, Floats, Whole
from ml_assets.core.time import DAY
from ml_assets.evaluation.benefits import (
    Benefit,
    answers_in,
    benefit_of,
    judged_share,
    measure_of,
)
from ml_assets.evaluation.report import EvaluationReport, Scored, evaluate
from ml_assets.evaluation.subjects import subjects_of
from ml_assets.features.training_sets.training_set import Learnt
from ml_assets.feedback.judging import decide_trials
from ml_assets.registry.deployments import Deployment, Deployments
from ml_assets.registry.promotion import admit
from ml_assets.registry.routing import arm, sticky_key
from ml_assets.registry.trials import challenged
from ml_assets.replay.league.evidence import evidence_of
from ml_assets.replay.league.monitored import Alarms
from ml_assets.replay.league.past import LearntModel, Past

BY = "time machine"


@dataclass(frozen=True, kw_only=True, eq=False)
class Played:
    """What came of a policy.

    policy: its name; at: when the M answered events happened; measure_M: what each came to
    trainings: when, and why; records: who answered from when on
    """

    policy: str
    at: pd.Series[pd.Timestamp]
    measure_M: Floats
    trainings: Sequence[tuple[datetime, str]]
    records: Sequence[Deployment]

    @property
    def retrainings(self) -> int:
        """The first model is everybody's, and free; one of the last day's end answers nothing."""
        last = self.at.iloc[-1]
        return sum(at <= last for at, _ in self.trainings[1:])

    def total(self, training: float) -> float:
        return float(self.measure_M.sum()) + training * self.retrainings

    @property
    def decisions(self) -> list[list[str]]:
        """Every training and every record, as a list of texts."""
        return [*([at.isoformat(), "train", kind] for at, kind in self.trainings),
                *([each.at.isoformat(), each.action, str(each.about or each.version)]
                  for each in self.records)]

    @property
    def digest(self) -> str:
        """Of decisions and of what every answer came to: the same in two runs."""
        said = json.dumps([self.decisions, [float(each).hex() for each in self.measure_M]])
        return blake2b(said.encode(), digest_size=8).hexdigest()


@dataclass(kw_only=True)
class Machine:
    """past: what happens, and in what all policies are counted; policy: when to retrain; folder:
    empty, for the record of deployments"""

    past: Past
    name: str
    policy: RetrainingPolicy
    folder: Path
    versions: list[LearntModel] = field(default_factory=list)
    reports: dict[int, EvaluationReport] = field(default_factory=dict)
    benefits: list[Benefit] = field(default_factory=list)
    trainings: list[tuple[datetime, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.system: System = replace(self.past.system, retraining=self.policy)
        self.deployments = Deployments(self.folder / "deployments.sqlite")
        self.rows = self.past.rows
        self.by_N: Whole = np.zeros(len(self.rows), dtype=np.int64)
        self._happened = self.rows["event_timestamp"]
        self._alarms = Alarms(self.system, self.rows)

    def play(self) -> Played:
        """Every live day, one after the other. Raises NotReady if no first model is good enough."""
        live_from = self.system.calendar.live_from
        self._train(live_from, "first")
        if not self.history:
            raise NotReady(f"the first model of {self.system.name!r} misses its gates: "
                           f"{self._failed(1)}")
        start = live_from
        while start < self._happened.iloc[-1]:
            self._serve(start, start + DAY)
            start += DAY
            self._close(start)
        return self._played()

    @property
    def history(self) -> list[Deployment]:
        return self.deployments.history(self.system.name)

    def outputs(self, version: int) -> Floats:
        """(N, W) of a version, for every row."""
        return self.versions[version - 1].outputs_NW

    def _between(self, start: datetime, end: datetime) -> Bools:
        return ((self._happened >= start) & (self._happened < end)).to_numpy(dtype=bool)

    def _serve(self, start: datetime, end: datetime) -> None:
        record = self.history[-1]
        answered = self._between(start, end) & self.rows["answered"].to_numpy(dtype=bool)
        for row in map(int, np.flatnonzero(answered)):
            event_id = str(self.rows["event_id"].iat[row])
            asked = {} if self.system.sticky_by is None else {
                self.system.sticky_by: self.rows[self.system.sticky_by].iat[row]}
            slate = split(event_id)
            self.by_N[row] = arm(record, sticky_key(
                self.system, asked, event_id if slate is None else slate[0]))

    def _close(self, now: datetime) -> None:
        """The end of a day: trials are decided on, and a training may be due."""
        decide_trials(
            self.system, self.deployments, by=BY, at=now,
            evidence=lambda tried, history: evidence_of(self, tried, history, now),
            let_in=lambda: self._let_in(now))
        decision = decide(self._situation(now), self.policy)
        if decision.train:
            self._train(now, decision.kind)

    def _train(self, now: datetime, kind: str) -> None:
        """Learn, evaluate beside the champion, and let in if the gates say so."""
        self.versions.append(self.past.learn(now))
        self.trainings.append((now, kind))
        version = len(self.versions)
        history = self.history
        champion = history[-1].version if history else None
        held_out = self.versions[-1].held_out
        rows = self.rows[held_out].reset_index(drop=True)
        scored, other = (None if each is None else
                         Scored(version=each, outputs=self.outputs(each)[held_out])
                         for each in (version, champion))
        assert scored is not None
        self.reports[version] = report = evaluate(self.system, rows, scored, other)
        benefit = benefit_of(self.past.system, report, at=now, fresh=self._fresh(version, champion),
                             judged=judged_share(self.past.system, rows))
        self.benefits += [] if benefit is None else [benefit]
        self._let_in(now)

    def _fresh(self, version: int, champion: int | None) -> float:
        """The share of the version's labels that its predecessor could not know."""
        if champion is None:
            return 1.0
        known = self.rows["known_at"][self.versions[version - 1].known]
        return float((known >= self.versions[champion - 1].as_of).mean())

    def _let_in(self, now: datetime) -> None:
        """The latest candidate, if its gates and those that are tried allow it."""
        history = self.history
        admission = admit(self.reports[len(self.versions)].to_json(), history)
        if admission.action is not None:
            self.deployments.act(
                self.system.name, admission.action, reason=admission.reason, by=BY, at=now,
                expecting=history[-1].id if history else None)

    def _situation(self, now: datetime) -> Situation:
        history, last = self.history, self.trainings[-1][0]
        known = self.rows["known_at"]
        alarm = self._alarms.at(self, now)
        worth = self.policy.worth
        return Situation(
            now=now, new_labels=int(((known >= last) & (known < now)).sum()),
            last_trained_at=last, learnt_until=last,
            champion_age=champion_age(history, now, Learnt(as_of=last, until=last)),
            drift_confirmed=alarm.drifting, drift_confirmed_at=alarm.drifting_since,
            fallen_at=alarm.fallen_since, measure=measure_of(self.past.system),
            lag=lag_of(self._days(last, now), seen=self.versions[-1].labels,
                       whole=self.system.model.history is None),
            benefit=None if worth is None else expected(self.benefits, worth.prior),
            on_trial=tuple(each.version for each in challenged(history)),
        )

    def _days(self, since: datetime, now: datetime) -> list[Day]:
        if self.policy.worth is None:
            return []
        known, days = self.rows["known_at"], list[Day]()
        while since < now:
            end = since + DAY
            answered = pa.array(self.rows["event_id"][self._between(since, end)])
            days.append(Day(answers=answers_in(self.past.system, answered),
                            labels=int(((known >= since) & (known < end)).sum())))
            since = end
        return days

    def _played(self) -> Played:
        live = self._between(self.system.calendar.live_from, self._happened.iloc[-1] + DAY)
        measure_N = np.zeros(len(self.rows))
        for version in np.unique(self.by_N[live]):
            chosen = live & (self.by_N == version)
            outputs_NW = self.unanswered(chosen) if version == 0 else (
                self.outputs(int(version))[chosen])
            measure_N[chosen] = measured(self.past.system, self.rows[chosen], outputs_NW)
        return Played(policy=self.name, at=self._happened[live], measure_M=measure_N[live],
                      trainings=tuple(self.trainings), records=tuple(self.history))

    def unanswered(self, chosen: Bools) -> Floats:
        """Who gets no answer has to do with the mean one of the first model."""
        mean_W = self.outputs(1)[self.versions[0].known].mean(axis=0)
        outputs_NW: Floats = np.tile(mean_W, (int(chosen.sum()), 1))
        carried = len(self.system.target.carries)
        if carried:
            outputs_NW[:, -carried:] = self.outputs(1)[chosen][:, -carried:]
        return outputs_NW

    def _failed(self, version: int) -> str:
        return "; ".join(gate.says for gate in self.reports[version].gates if not gate.passed)


def measured(system: System, rows: pd.DataFrame, outputs_NW: Floats) -> Floats:
    """What each of N answers came to, (N,), in the unit of a training's cost.

    rows: of a past; what a slate came to is that of its first row
    """
    target, name = system.target, measure_of(system)
    codes_N = target.codes(rows["truth"].tolist())
    if name == target.currency:
        cases = target.cases(codes_N, outputs_NW, subjects_of(target, rows))
        measure_N = np.zeros(len(rows))
        measure_N[cases.rows] = cases.losses
        return measure_N
    costs = target.costs(codes_N, target.decide(outputs_NW), outputs_NW)
    if name in costs:
        return np.asarray(costs[name])
    raise NotReady(f"the league of {system.name!r} counts {name!r}, of which no row has a part of "
                   f"its own; expected {target.currency!r}"
                   + "".join(f" or {each!r}" for each in costs))


def oracle(machine: Machine, days: Sequence[datetime], training: float) -> Played:
    """The schedule that would have cost least, each model in traffic at once, without a trial.

    machine: that has played a policy that trained on all `days`, in order; the first is everybody's
    """
    system, happened = machine.past.system, machine.rows["event_timestamp"]
    live = machine._between(system.calendar.live_from, happened.iloc[-1] + DAY)
    at, rows = happened[live], machine.rows[live]
    answered = machine.rows["answered"].to_numpy()[live]
    learnt = [machine.past.learn(day) for day in days]
    idle = measured(system, rows, machine.unanswered(live))
    costs_KM = np.stack([np.where(answered, measured(system, rows, each.outputs_NW[live]), idle)
                         for each in learnt])
    starts = [int((at < day).sum()) for day in days]
    summed_KM = np.concatenate([np.zeros((len(days), 1)), np.cumsum(costs_KM, axis=1)], axis=1)
    # best[k]: the least cost of everything from day k on, if a model is trained on day k.
    best, following = np.full(len(days) + 1, 0.0), [len(days)] * len(days)
    stops = [*starts, len(at)]
    for k in range(len(days) - 1, -1, -1):
        choices = {j: summed_KM[k, stops[j]] - summed_KM[k, stops[k]]
                   + (0.0 if j == len(days) else training + best[j])
                   for j in range(k + 1, len(days) + 1)}
        following[k] = min(choices, key=lambda j: (choices[j], -j))
        best[k] = choices[following[k]]
    chosen, measure_M, k = [0], np.zeros(len(at)), 0
    while k < len(days):
        j = following[k]
        measure_M[stops[k]:stops[j]] = costs_KM[k, stops[k]:stops[j]]
        k = j
        chosen += [k] if k < len(days) else []
    return Played(policy="oracle", at=at, measure_M=measure_M, records=(),
                  trainings=tuple((days[each], "oracle") for each in chosen))
