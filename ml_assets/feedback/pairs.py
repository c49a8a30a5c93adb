"""Two models on the same matured outcomes: what one loses less than the other, row by row.

Of each event one version answered; the others that are tried scored it in its shadow. Only events
as old as the label's maturity count, for the reason that `monitoring.performance` gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.target import Bools, Floats, Whole
from ml_assets.core.time import DAY
from ml_assets.evaluation.sequential import BoundedLeads, ClusteredLeads, Leads
from ml_assets.evaluation.slices import rows_of
from ml_assets.evaluation.subjects import subjects_of
from ml_assets.feedback.described import described
from ml_assets.ingest.labels import latest_labels
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.tables import outcomes_schema
from ml_assets.registry.deployments import Deployment
from ml_assets.registry.trials import Tried
from ml_assets.targets.stored import kept_outputs


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """N matured outcomes that both versions were scored on, in the order of time.

    at: (N,) when their events happened; leads_N: by how much the version loses less than its
    reference, each loss cut at the bound, weighted if labels side with who answered; reaches_N: no
    lead is farther from 0; units_N: the unit of each row, None if rows are independent; slices:
    which rows (N,) belong to each declared slice
    """

    at: pd.Series[pd.Timestamp]
    leads_N: Floats
    reaches_N: Floats
    units_N: Whole | None
    slices: Mapping[str, Bools]

    def leads(self, chosen: Bools) -> Leads:
        """Of some rows, as a sequential test takes them."""
        if self.units_N is None:
            return BoundedLeads(leads_N=self.leads_N[chosen], reaches_N=self.reaches_N[chosen])
        return ClusteredLeads.of(self.leads_N[chosen], self.units_N[chosen],
                                 float(self.reaches_N.max(initial=0.0)))


def paired(
    system: System, settings: Settings, tried: Tried, history: Sequence[Deployment], *,
    bound: float, end: datetime,
) -> Pairs:
    """What is known at `end` of the outcomes since the trial began.

    history: all records of the system, oldest first; bound: what a loss is cut at
    """
    outcomes = Lake(settings.lake).read(system.name, "outcomes", outcomes_schema(system),
                                        start=tried.since.date(), end=end.date() + DAY)
    known = latest_labels(outcomes, end)
    happened = known["event_timestamp"]
    rows = known[(happened >= tried.since) & (happened < end - system.truth.maturity)]
    rows = rows.reset_index(drop=True)
    scored = _shadow_scores(system, settings, tried, end)
    both = [_outputs(system, rows, scored, version) for version in (tried.version, tried.reference)]
    weights_N, reaches_N = _weights(system, rows, tried, history)
    found_N = np.all([~np.isnan(each[:, 0]) for each in both], axis=0) & (weights_N > 0)
    rows, both = rows[found_N].reset_index(drop=True), [each[found_N] for each in both]
    codes_N = system.target.codes(rows["label"].tolist())
    own_N, others_N = (np.minimum(system.target.losses(codes_N, each), bound) for each in both)
    return Pairs(
        at=rows["event_timestamp"], leads_N=(others_N - own_N) * weights_N[found_N],
        reaches_N=bound * reaches_N[found_N], units_N=_units(system, rows),
        slices=_slices(system, settings, rows),
    )


def _shadow_scores(
    system: System, settings: Settings, tried: Tried, end: datetime
) -> dict[tuple[str, int], tuple[float, Sequence[float] | None]]:
    """What versions that did not answer said of each prediction."""
    with closing(EventLog(settings.event_log)) as log:
        return {
            (each.prediction_id, each.model_version): (each.score, each.outputs)
            for each in log.shadows.between(system.name, tried.since, end)
            if each.model_version in (tried.version, tried.reference)
        }


def _outputs(
    system: System, rows: pd.DataFrame,
    scored: Mapping[tuple[str, int], tuple[float, Sequence[float] | None]], version: int,
) -> Floats:
    """The version's outputs (N, W) of each row, NaN if it has none."""
    outputs = np.full((len(rows), len(system.target.outputs)), np.nan)
    places, scores, several = list[int](), list[float](), list[Sequence[float] | None]()
    for place, (prediction, by, score, kept) in enumerate(zip(
        rows["prediction_id"], rows["model_version"], rows["score"], rows["outputs"], strict=True
    )):
        found = (score, kept) if by == version else scored.get((prediction, version))
        if found is not None:
            places.append(place)
            scores.append(found[0])
            several.append(found[1])
    if places:
        outputs[places] = kept_outputs(system.target, scores, several)
    return outputs


def _weights(
    system: System, rows: pd.DataFrame, tried: Tried, history: Sequence[Deployment]
) -> tuple[Floats, Floats]:
    """How much each row counts (N,), and at most could have counted, before its version was drawn.

    If silence confirms whatever was answered, a mistake that nobody reports becomes a label in
    favour of who made it. While both versions have traffic, inverse propensities let the labels
    side with each of them half of the time, so that equal models stay equal. What a third version
    answered does not count then. As long as only one of the two answers, all labels side with it.
    """
    ones_N = np.ones(len(rows))
    if not system.truth.silence_agrees or not len(rows):
        return ones_N, ones_N
    began = np.array([record.at.timestamp() for record in history])
    at = np.array([each.timestamp() for each in rows["event_timestamp"]])
    record_N = np.maximum(np.searchsorted(began, at, side="right") - 1, 0)
    shares = np.array([[record.share(version) for version in (tried.version, tried.reference)]
                       for record in history])[record_N]
    by_N = rows["model_version"].to_numpy()
    own_N = np.where(by_N == tried.version, shares[:, 0],
                     np.where(by_N == tried.reference, shares[:, 1], 0.0))
    split_N = shares.min(axis=1) > 0
    weights_N = np.where(split_N, np.divide(0.5, own_N, out=np.zeros_like(own_N),
                                            where=own_N > 0), ones_N)
    reaches_N = np.where(split_N, 0.5 / np.maximum(shares.min(axis=1), 1e-9), ones_N)
    return weights_N, reaches_N


def _units(system: System, rows: pd.DataFrame) -> Whole | None:
    subjects: Subjects = subjects_of(system.target, rows)
    return system.target.units(subjects)


def _slices(system: System, settings: Settings, rows: pd.DataFrame) -> dict[str, Bools]:
    if not system.slices or rows.empty:
        return {part.name: np.zeros(len(rows), dtype=bool) for part in system.slices}
    table = described(system, settings, rows)
    return {part.name: rows_of(part, table) for part in system.slices}
