"""A pair of frames: a reference, and rows of a single day, some of whose columns have changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.drift_load.reigns import CODED, NAMES, START, Floats32, World
from ml_assets.core.policies import DriftPolicy
from ml_assets.core.target import Whole
from ml_assets.core.time import DAY
from ml_assets.monitoring.drift.columns import LiveRows, columns_of
from ml_assets.monitoring.drift.judge import LiveColumn, judge
from ml_assets.monitoring.drift.reference import Reference
from ml_assets.monitoring.drift.watch import number_of

SHIFTED = {"normal_0": 0.5, "normal_1": 1.0, "amount_0": 20.0, "count_0": 1.0}
MORE = ("yes_0", "kind_0")


@dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """then_ND, now_ND: columns `NAMES`; at: when the former happened, over 45 days"""

    then_ND: Floats32
    now_ND: Floats32
    at: Whole

    @classmethod
    def made(cls, rows: int) -> Frames:
        g, world = np.random.default_rng(7), World(per_day=rows, learnt=rows)
        days = [world.rows(g, START - (45 - day) * DAY, rows // 45 + 1) for day in range(45)]
        then_ND = np.vstack([part for part, _ in days])[:rows]
        now_ND, _ = world.rows(g, START, rows)
        for name, by in SHIFTED.items():
            now_ND[:, NAMES.index(name)] += np.float32(by)
        for name in MORE:
            now_ND[g.random(rows) < 0.25, NAMES.index(name)] = 1.0
        return cls(then_ND=then_ND, now_ND=now_ND,
                   at=np.concatenate([at for _, at in days])[:rows])

    def write(self, folder: Path) -> None:
        np.savez(folder / "frames.npz", then=self.then_ND, now=self.now_ND, names=np.array(NAMES),
                 categories=np.array([name for name in NAMES
                                      if name in CODED or name.startswith("yes")]))


def verdicts(frames: Frames) -> dict[str, bool]:
    """Which columns drift by the default policy, asked once."""
    policy = DriftPolicy(persistence=1)
    reference = Reference(training_set="made", names=NAMES, dense=frames.then_ND, at=frames.at,
                          coded=CODED, scores=np.empty(0))
    today = LiveRows(features=frames.now_ND, at=np.full(len(frames.now_ND), frames.at[-1]),
                     scores=np.empty(0))
    columns = {
        name: LiveColumn(yardstick=column.yardstick, names=column.bins.names,
                         live_TB=column.count(name, today, today, number_of(START))[None, :])
        for name, column in columns_of(reference, policy).items()}
    return {each.name: each.drifted for each in judge(columns, policy, START, {})}
