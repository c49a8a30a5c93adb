"""Two models on the same matured outcomes: what one loses less than the other, case by case.

Of each event one version answered; the others that are tried scored it in its shadow. Only events
as old as the label's maturity count, for the reason that `monitoring.performance` gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.target import Bools, Floats, Target, Whole
from ml_assets.core.time import DAY
from ml_assets.evaluation.sequential import BoundedLeads, ClusteredLeads, Leads
from ml_assets.evaluation.slices import rows_of
from ml_assets.evaluation.subjects import subjects_of
from ml_assets.feedback.described import described
from ml_assets.feedback.own_pages import OwnPages, own_pages
from ml_assets.feedback.unreported import Unreported, unreported
from ml_assets.ingest.labels import latest_labels
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.tables import outcomes_schema
from ml_assets.registry.deployments import Deployment
from ml_assets.registry.trials import Tried
from ml_assets.targets.stored import kept_outputs


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """C cases whose outcomes matured and that both versions were scored on, see `Target.cases`.

    leads_C: by how much the version loses less than its reference, each loss cut at the bound,
        weighted if what is known sides with who answered; reaches_C: no lead is farther from 0
    units_C: the unit of each case, None if cases are independent
    supports_C, accuses_C: which leads may speak for the version, and which against it: all, but
        those of rows that one of the two alone has chosen, which speak for whoever chose them only
    """

    leads_C: Floats
    reaches_C: Floats
    units_C: Whole | None
    supports_C: Bools
    accuses_C: Bools

    @property
    def whole(self) -> Leads:
        """Of all cases, as a sequential test takes them."""
        return self._leads(np.ones(len(self.leads_C), dtype=bool))

    @property
    def supporting(self) -> Leads:
        return self._leads(self.supports_C)

    @property
    def accusing(self) -> Leads:
        return self._leads(self.accuses_C)

    def _leads(self, chosen: Bools) -> Leads:
        if self.units_C is None:
            return BoundedLeads(leads_N=self.leads_C[chosen], reaches_N=self.reaches_C[chosen])
        return ClusteredLeads.of(self.leads_C[chosen], self.units_C[chosen],
                                 float(self.reaches_C.max(initial=0.0)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Paired:
    """at: (N,) when the events of the rows happened that both versions were scored on, in order;
    whole: their cases; slices: those of the rows of each declared slice
    own: what is taken of pages that each has made; None if they make none"""

    at: pd.Series[pd.Timestamp]
    whole: Pairs
    slices: Mapping[str, Pairs]
    own: OwnPages | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Exposure:
    """What follows for each of N rows from who answered it, see `Pairs`.

    weights_N: how much it counts; reaches_N: at most could have counted, before it was drawn who
    answers
    """

    weights_N: Floats
    reaches_N: Floats
    supports_N: Bools
    accuses_N: Bools

    def of_rows(self, chosen: Bools | Whole) -> Exposure:
        return Exposure(weights_N=self.weights_N[chosen], reaches_N=self.reaches_N[chosen],
                        supports_N=self.supports_N[chosen], accuses_N=self.accuses_N[chosen])


def paired(
    system: System, settings: Settings, tried: Tried, history: Sequence[Deployment], *,
    bound: float, end: datetime,
) -> Paired:
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
    return paired_of(
        system, rows,
        [_outputs(system, rows, scored, version) for version in (tried.version, tried.reference)],
        tried, history, bound=bound, slices=lambda found: _slices(system, settings, found),
        lacking=lambda found: unreported(system, settings, found, end))


def paired_of(
    system: System, rows: pd.DataFrame, both: Sequence[Floats], tried: Tried,
    history: Sequence[Deployment], *, bound: float,
    slices: Callable[[pd.DataFrame], Mapping[str, Bools]],
    lacking: Callable[[pd.DataFrame], Unreported | None] = lambda found: None,
) -> Paired:
    """What rows with an outcome say of the outputs (N, W) of a version and of its reference.

    rows: of outcomes since the trial began; both: NaN where a version has no output; slices,
    lacking: of some rows, which belong to each declared slice, and which mistakes nobody reports
    """
    shares_N2 = _shares(rows, tried, history)
    own = own_pages(system, rows, shares_N2.min(axis=1) > 0, tried)
    exposure = _exposure(system, rows, tried, shares_N2)
    found_N = np.all([~np.isnan(each[:, 0]) for each in both], axis=0) & (exposure.weights_N > 0)
    rows, both = rows[found_N].reset_index(drop=True), [each[found_N] for each in both]
    exposure, subjects = exposure.of_rows(found_N), subjects_of(system.target, rows)
    codes_N = system.target.codes(rows["label"].tolist())
    missed = lacking(rows)

    def of(chosen: Bools) -> Pairs:
        return _pairs(system.target, codes_N[chosen], [each[chosen] for each in both],
                      subjects.of_rows(chosen), exposure.of_rows(chosen), bound,
                      missed and missed.of_rows(chosen))

    return Paired(at=rows["event_timestamp"], whole=of(np.ones(len(rows), dtype=bool)),
                  slices={name: of(chosen) for name, chosen in slices(rows).items()}, own=own)


def _pairs(
    target: Target, codes_N: Floats, both: Sequence[Floats], subjects: Subjects,
    exposure: Exposure, bound: float, lacking: Unreported | None,
) -> Pairs:
    def leads_by(codes_N: Floats) -> tuple[Floats, Whole]:
        own, others = (target.cases(codes_N, outputs_NW, subjects) for outputs_NW in both)
        return np.minimum(others.losses, bound) - np.minimum(own.losses, bound), own.rows

    leads_C, rows_C = leads_by(codes_N)
    counts, units_N = exposure.of_rows(rows_C), target.units(subjects)
    reaches_C = bound * counts.reaches_N
    if lacking is not None:  # then each row is a case
        leads_C = lacking.leads(leads_C, leads_by(lacking.silent_N)[0])
        reaches_C = reaches_C * lacking.reaches_N
    return Pairs(
        leads_C=leads_C * counts.weights_N, reaches_C=reaches_C,
        units_C=None if units_N is None else units_N[rows_C],
        supports_C=counts.supports_N, accuses_C=counts.accuses_N)


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


def _shares(rows: pd.DataFrame, tried: Tried, history: Sequence[Deployment]) -> Floats:
    """(N, 2) of the traffic, that the version and its reference had when each row happened."""
    began = pd.DatetimeIndex([record.at for record in history])
    record_N = np.maximum(began.searchsorted(rows["event_timestamp"], side="right") - 1, 0)
    shares = np.array([[record.share(version) for version in (tried.version, tried.reference)]
                       for record in history])
    found: Floats = shares[record_N]
    return found


def _exposure(
    system: System, rows: pd.DataFrame, tried: Tried, shares: Floats
) -> Exposure:
    """How who answered a row sides with one of the two, and what makes up for it.

    If silence confirms whatever was answered, a mistake that nobody reports becomes a label in
    favour of who made it. If a model selects what it answers, its own order says least about what
    it has put on top itself: another one, as good as it, orders a page better than who made it.
    While both versions have traffic, inverse propensities let the rows side with each of them half
    of the time, so that equal models stay equal. What a third version answered does not count
    then. As long as only one of the two answers, all rows side with it, or against it if it
    selects them: then they say nothing in favour of the other.
    """
    count, target = len(rows), system.target
    ones_N, all_N = np.ones(count), np.ones(count, dtype=bool)
    if not (system.truth.silence_agrees or target.selects) or not count:
        return Exposure(weights_N=ones_N, reaches_N=ones_N, supports_N=all_N, accuses_N=all_N)
    by_N = rows["model_version"].to_numpy()
    own_N = np.where(by_N == tried.version, shares[:, 0],
                     np.where(by_N == tried.reference, shares[:, 1], 0.0))
    split_N = shares.min(axis=1) > 0
    weights_N = np.where(split_N, np.divide(0.5, own_N, out=np.zeros_like(own_N),
                                            where=own_N > 0), ones_N)
    reaches_N = np.where(split_N, 0.5 / np.maximum(shares.min(axis=1), 1e-9), ones_N)
    return Exposure(
        weights_N=weights_N, reaches_N=reaches_N,
        supports_N=split_N | (by_N == tried.version) if target.selects else all_N,
        accuses_N=split_N | (by_N == tried.reference) if target.selects else all_N)


def _slices(system: System, settings: Settings, rows: pd.DataFrame) -> dict[str, Bools]:
    if not system.slices or rows.empty:
        return {part.name: np.zeros(len(rows), dtype=bool) for part in system.slices}
    table = described(system, settings, rows)
    return {part.name: rows_of(part, table) for part in system.slices}
