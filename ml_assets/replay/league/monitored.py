"""What monitoring would say at the end of a day, of the rows that a time machine has served."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ml_assets.core.system import System
from ml_assets.core.target import Bools, Whole
from ml_assets.core.time import DAY, midnight
from ml_assets.monitoring.drift.columns import LiveRows
from ml_assets.monitoring.drift.reference import LARGEST, Reference, Values, microseconds
from ml_assets.monitoring.drift.watch import Watch, of_served
from ml_assets.monitoring.drift_report import DriftReport
from ml_assets.monitoring.performance import WINDOWS, mature, quality
from ml_assets.monitoring.standards import held_out
from ml_assets.registry.record import takeovers

if TYPE_CHECKING:
    from ml_assets.replay.league.machine import Machine


@dataclass(frozen=True, kw_only=True)
class Alarm:
    drifting: tuple[str, ...] = ()
    drifting_since: datetime | None = None
    fallen_since: datetime | None = None


class Alarms:
    """Day after day; only what the policy asks for is looked at."""

    def __init__(self, system: System, rows: pd.DataFrame) -> None:
        self._system, self._rows = system, rows
        self._fallen: tuple[int, datetime] | None = None
        self._watch: tuple[int, Watch] | None = None
        self._report: DriftReport | None = None

    def at(self, machine: Machine, now: datetime) -> Alarm:
        policy = self._system.retraining
        drift = self._drift_at(machine, now) if policy.on_drift else None
        return Alarm(
            drifting=() if drift is None else drift.confirmed,
            drifting_since=None if drift is None else drift.confirmed_at,
            fallen_since=self._fallen_at(machine, now) if policy.on_fall else None)

    def _drift_at(self, machine: Machine, now: datetime) -> DriftReport:
        """The report of the day that ends at `now`."""
        reign = takeovers(machine.history)[-1]
        if self._watch is None or self._watch[0] != reign.id:
            self._watch = (reign.id, watch_of(machine, reign.version, reign.at.date()))
        _, self._report = self._watch[1].judge(now.date() - DAY, self._report)
        return self._report

    def _fallen_at(self, machine: Machine, now: datetime) -> datetime | None:
        """Since when the champion's live loss has been significantly above its held-out one."""
        system, champion = self._system, machine.history[-1].version
        since = now - system.truth.maturity - (WINDOWS[-1] + 1) * DAY
        chosen = ((self._rows["event_timestamp"] >= since)
                  & (self._rows["known_at"] < now)).to_numpy() & (machine.by_N == champion)
        rows = mature(self._rows[chosen].assign(place=np.flatnonzero(chosen)), now,
                      maturity=system.truth.maturity, days=WINDOWS[-1])
        standard = held_out(system.target, machine.reports[champion].to_json())
        live = None
        if len(rows) >= system.drift.min_events:
            outputs_NW = machine.outputs(champion)[rows["place"].to_numpy()]
            decisions = system.target.decide(outputs_NW)
            live = quality(system.target, rows.assign(
                score=outputs_NW[:, 0], outputs=list(outputs_NW),
                decision=[system.target.label_of(each) for each in decisions],
            ), days=WINDOWS[-1], model_version=champion)
        fallen, _ = standard.has_fallen(live, loss=system.target.currency,
                                        least=system.drift.min_events)
        if not fallen:
            self._fallen = None
        elif self._fallen is None or self._fallen[0] != champion:
            self._fallen = (champion, now)
        return None if self._fallen is None else self._fallen[1]


def watch_of(machine: Machine, version: int, since: date) -> Watch:
    """A champion's reign from a day on, beside what it learnt from; see `drift.of_days`."""
    system, past = machine.system, machine.past
    learnt, own = machine.versions[version - 1], system.target.selects
    names, happened = past.about.feature_names, past.rows["event_timestamp"]

    def live(start: date, end: date, most: int | None = None) -> LiveRows:
        chosen = (((happened >= midnight(start)) & (happened < midnight(end))).to_numpy()
                  & ((machine.by_N == version) if own else (machine.by_N > 0)))
        rows_N = _spread(chosen, most)
        rows, scores = past.rows.iloc[rows_N], np.full(len(rows_N), np.nan)
        mine = machine.by_N[rows_N] == version
        scores[mine] = system.target.score(learnt.outputs_NW[rows_N[mine]])
        return LiveRows(
            features=rows[list(names)].to_numpy(np.float32), at=microseconds(rows), scores=scores,
            found=np.ones(len(rows), dtype=np.bool_),
            categories={name: Values.of(rows[name]) for name in system.model.categories})

    rows = past.rows.iloc[_spread(learnt.known, LARGEST)]
    reference = Reference(
        training_set=f"as of {learnt.as_of}", names=names, coded=past.about.coded,
        dense=rows[list(names)].to_numpy(np.float32), at=microseconds(rows),
        categories={name: Values.of(rows[name]) for name in system.model.categories},
        scores=system.target.score(learnt.outputs_NW[learnt.held_out]),
        scores_at=microseconds(past.rows[learnt.held_out]))
    live_since = system.calendar.go_live
    first = max(live_since, since)
    if own:
        reference, first = of_served(live(first, first + system.drift.window), reference), (
            first + system.drift.window)
    return Watch(system.drift, reference, version, live, first=first, live_since=live_since,
                 filled=past.filled)


def _spread(chosen: Bools, most: int | None) -> Whole:
    """The rows that are chosen; `most` of them, evenly spread."""
    rows_N = np.flatnonzero(chosen)
    return rows_N if most is None else rows_N[:: max(1, -(-len(rows_N) // most))]
