"""What monitoring would say at the end of a day, of the rows that a time machine has served."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ml_assets.core.system import System
from ml_assets.core.time import DAY
from ml_assets.monitoring.performance import WINDOWS, mature, quality
from ml_assets.monitoring.standards import held_out

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

    def at(self, machine: Machine, now: datetime) -> Alarm:
        policy = self._system.retraining
        return Alarm(fallen_since=self._fallen_at(machine, now) if policy.on_fall else None)

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
