"""Days of a toy system on which two versions are compared, in the real stores."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, EventClock, midnight
from ml_assets.feedback.judging import decide_day, told
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog, Prediction, ShadowScore
from ml_assets.ingest.tables import events_schema, outcomes_schema, predictions_schema
from ml_assets.registry.deployments import Deployments
from ml_assets.registry.models import ModelRegistry
from ml_assets.registry.rollout import Action
from ml_assets.registry.routing import arm, propensity
from tests.toy import TOY

FIRST = date(2024, 1, 8)
START = midnight(FIRST)
STEADY, BETTER = [0.7] * 10, [0.8] * 10
"""How sure a version is of what comes true, purchase by purchase."""
PER_DAY = 48
"""Purchases, one each half hour; the shop is the same for four of them."""


@dataclass(kw_only=True)
class Trial:
    """Each version says `right[version](n)` for the n-th purchase: the probability of what came
    true. Labels are true for every third; they are known an hour later, unless `silent`."""

    settings: Settings
    right: dict[int, list[float]]
    system: System = TOY
    days: int = 0
    told: list[tuple[object, ...]] = field(default_factory=list)

    @property
    def deployments(self) -> Deployments:
        return Deployments(self.settings.deployments)

    def serve(self, days: int, *, reported: float = 1.0, labels: bool = True) -> datetime:
        """So many more days, answered as the record says; the end of the last one.

        reported: the share of mistakes that somebody reports; the label of the others is what was
        answered
        labels: whether any outcome of these days ever comes
        """
        draw = np.random.default_rng(self.days)
        for _ in range(days):
            self._serve(FIRST + self.days * DAY, draw, reported, labels)
            self.days += 1
        return midnight(FIRST + self.days * DAY)

    def _serve(
        self, day: date, draw: np.random.Generator, reported: float, labels: bool
    ) -> None:
        record = self.deployments.current(self.system.name)
        assert record is not None
        outcomes, predictions, events = [], list[Prediction](), []
        shadows: list[ShadowScore] = []
        for place in range(PER_DAY):
            n = self.days * PER_DAY + place
            at = midnight(day) + place * timedelta(minutes=30)
            truth, shop = n % 3 == 0, f"shop {n // 4}"
            by = arm(record, shop)

            def score(version: int, n: int = n, truth: bool = truth) -> float:
                sure = self.right[version][n % len(self.right[version])]
                return sure if truth else 1 - sure

            decision = score(by) >= 0.5
            label = truth if decision == truth or draw.random() < reported else decision
            share = propensity(record, by)
            role = "champion" if by == record.version else "challenger"
            outcomes.append((f"p{n}", f"e{n}", at, at + timedelta(hours=1), label, "feedback", by,
                             score(by), decision, role, share, None))
            predictions.append(Prediction(
                prediction_id=f"p{n}", system=self.system.name, event_id=f"e{n}",
                event_timestamp=at, accepted_at=at, request="{}", features_as_of=at,
                features=np.array([n % 20], np.float32), feature_names=("amount",),
                model_version=by, score=score(by), decision=decision, propensity=share))
            events.append((f"e{n}", at, at, shop, "", float(n % 20), None))
            shadows += [ShadowScore(prediction_id=f"p{n}", model_version=version,
                                    score=score(version), outputs=(), scored_at=at)
                        for version in record.named if version != by]
        with closing(EventLog(self.settings.event_log)) as log:
            log.append(predictions)
            log.shadows.add(shadows)
        lake, name = Lake(self.settings.lake), self.system.name
        lake.write(name, "outcomes", day, pd.DataFrame(
            outcomes if labels else [], columns=outcomes_schema(self.system).names),
            outcomes_schema(self.system))
        rows = [(each.prediction_id, each.event_id, each.event_timestamp, each.accepted_at,
                 each.features_as_of, each.features.tolist(), list(each.feature_names),
                 each.model_version, each.score, each.decision, False, "champion", 1.0, None, None,
                 each.audit)
                for each in predictions]
        schema = predictions_schema(self.system)
        lake.write(name, "predictions", day, pd.DataFrame(rows, columns=schema.names), schema)
        schema = events_schema(self.system)
        lake.write(name, self.system.asked.table, day,
                   pd.DataFrame(events, columns=schema.names), schema)


def trial_of(settings: Settings, *actions: Action, system: System = TOY,
             **right: list[float]) -> Trial:
    trial = Trial(settings=settings, system=system,
                  right={int(name.removeprefix("v")): each for name, each in right.items()})
    for action in actions:
        trial.deployments.act(system.name, action, reason="set up", by="tests", at=START)
    return trial


def decide(trial: Trial, at: datetime) -> list[str]:
    """At the end of a day; what was done."""
    EventClock(trial.settings.clock_file(trial.system.name)).set(at)
    decided = decide_day(trial.system, trial.settings, (at - DAY).date(), by="tests")
    assert all(each.on for each in told(decided))
    return [each.did for each in told(decided) if each.on == "all"]


def registered(registry: ModelRegistry, folder: Path, count: int) -> None:
    for version in range(1, count + 1):
        registry.register("toy", folder, params={}, metrics={}, tags={})
        registry.log_evaluation("toy", version, {
            "system": "toy", "candidate": version, "champion": None, "gates": [],
            "largest_loss": 2.0})
