"""What each retraining brought: the lead of a candidate over the champion, and what it knew more.

Kept beside the training sets, as a sensor reads it every half minute and must not load MLflow.

Worth is counted by the *answer*: a row, or a whole slate where the measure is the mean of slates.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml_assets.core.errors import StateDamaged
from ml_assets.core.settings import Settings
from ml_assets.core.slates import SEPARATOR
from ml_assets.core.storage.condition import read_object
from ml_assets.core.storage.files import write_atomically
from ml_assets.core.storage.mounts import current
from ml_assets.core.system import System
from ml_assets.evaluation.subjects import subjects_of
from ml_assets.ingest.lake import naming

if TYPE_CHECKING:
    import pandas as pd

    from ml_assets.evaluation.report import EvaluationReport
    from ml_assets.features.training_sets.stored import TrainingSet

QUANTILE = 1.959964
"""Of the normal distribution: half the width of a 95% interval in standard deviations."""


@dataclass(frozen=True, kw_only=True)
class Benefit:
    """One retraining, as it was known at `at`, aware UTC.

    version, before: the candidate, and the champion that it was compared with; None of a first one
    fresh: the share of the candidate's labels that were not known when the champion was trained
    value: the candidate's mean measure of an answer, on held-out rows
    lead, deviation: by how much the champion's is higher on the same rows, and the standard
        deviation of this; None without a champion, or without an interval
    """

    version: int
    before: int | None
    at: datetime
    fresh: float
    measure: str
    value: float
    lead: float | None
    deviation: float | None


class Benefits:
    """Of a system, the oldest first: `<lake>/<system>/training_set/benefits.json`."""

    def __init__(self, settings: Settings, system: System) -> None:
        self.path = settings.lake / system.name / "training_set" / "benefits.json"
        self.measure = measure_of(system)

    def note(self, benefit: Benefit) -> None:
        """Keep it in the place of an earlier one of the same two versions."""
        kept = [each for each in self._all()
                if (each.version, each.before) != (benefit.version, benefit.before)]
        noted = [{**asdict(each), "at": each.at.isoformat()} for each in (*kept, benefit)]
        write_atomically(self.path, json.dumps({"benefits": noted}, indent=1).encode())

    def known(self, now: datetime) -> list[Benefit]:
        """Those of the declared measure that were known at `now`."""
        return [each for each in self._all() if each.measure == self.measure and each.at <= now]

    def _all(self) -> list[Benefit]:
        if not current(self.path).exists():
            return []
        remedy = "remove it: what past retrainings brought is then learnt anew"
        stored: dict[str, Any] = read_object(self.path, "of past retrainings", remedy)
        try:
            return [Benefit(**{**each, "at": datetime.fromisoformat(each["at"])})
                    for each in stored["benefits"]]
        except (TypeError, ValueError, LookupError) as error:
            raise StateDamaged(f"{self.path} is damaged: {error!r}. {remedy.capitalize()}"
                               ) from error


def measure_of(system: System) -> str:
    """In what the worth of a training is counted, a metric of the target."""
    worth = system.retraining.worth
    declared = None if worth is None else worth.measure
    return system.target.currency if declared is None else declared


def by_slate(system: System) -> bool:
    """Whether the measure is the mean of slates, and an answer so a slate and not its rows."""
    return system.target.slates is not None and measure_of(system) == system.target.currency


def answers_in(system: System, event_ids: pa.Array | pa.ChunkedArray) -> int:
    """How many answers these events are the rows of."""
    if not by_slate(system):
        return len(event_ids)
    requests = pc.list_element(pc.split_pattern(event_ids, SEPARATOR), 0)
    return int(pc.count_distinct(requests).as_py())


def judged_share(system: System, rows: pd.DataFrame) -> float:
    """The share of the answers to N rows that the measure is the mean of: of a slate of which
    nothing was taken no order is better.

    rows: `label`, and what `subjects_of` reads
    """
    if not by_slate(system) or not len(rows):
        return 1.0
    target = system.target
    cases = target.cases(target.codes(rows["label"].tolist()),
                         np.zeros((len(rows), len(target.outputs))), subjects_of(target, rows))
    return len(cases.rows) / answers_in(system, pa.array(rows["event_id"]))


def benefit_of(
    system: System, report: EvaluationReport, *, fresh: float, at: datetime, judged: float = 1.0
) -> Benefit | None:
    """What an evaluation says of a retraining; None if it could not be measured.

    judged: the share of the held-out answers that the measure is the mean of
    """
    name = measure_of(system)
    value = (report.metrics.candidate or {}).get(name)
    if value is None or value.value is None:
        return None
    found = Benefit(version=report.candidate, before=report.champion, at=at, fresh=fresh,
                    measure=name, value=judged * value.value, lead=None, deviation=None)
    lead = (report.metrics.better_by or {}).get(name)
    if lead is None or lead.value is None or lead.low is None or lead.high is None:
        return found
    return replace(found, lead=judged * lead.value,
                   deviation=judged * (lead.high - lead.low) / (2 * QUANTILE))


def fresh_share(training_set: TrainingSet, since: datetime) -> float:
    """The share of the set's labels that became known at `since` or later."""
    with naming(training_set.path):
        known = pq.read_table(training_set.path, columns=["known_at"])["known_at"]
    return float(pc.mean(pc.greater_equal(known, pa.scalar(since, known.type))).as_py() or 0.0)
