"""What may go wrong on the way, each as a past around another: nothing else knows of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from ml_assets.core.errors import NotReady, unknown
from ml_assets.core.system import System
from ml_assets.core.target import Bools, Floats
from ml_assets.core.time import midnight, parse_day
from ml_assets.features.training_sets.stored import TrainingSet
from ml_assets.replay.league.past import LearntModel, Past, RecordedPast

HOSTILE = 0.05
"""The share of labels that somebody tells wrong on purpose."""
ALIKE = 0.5
"""A feature is made of the same as another if they are so much correlated."""
OUTAGE, CRASH = timedelta(days=7), timedelta(hours=12)
SEED = 20_021_130


@dataclass(frozen=True, kw_only=True, eq=False)
class BrokenCandidate:
    """Each model of the week from `at` on answers an event with what it should say of another."""

    past: Past
    at: datetime

    @property
    def system(self) -> System:
        return self.past.system

    @property
    def rows(self) -> pd.DataFrame:
        return self.past.rows

    @property
    def about(self) -> TrainingSet:
        return self.past.about

    @property
    def filled(self) -> Mapping[str, datetime]:
        return self.past.filled

    def learn(self, as_of: datetime) -> LearntModel:
        learnt = self.past.learn(as_of)
        if not self.at <= as_of < self.at + timedelta(days=7):
            return learnt
        order = np.random.default_rng(SEED).permutation(len(learnt.outputs_NW))
        return replace(learnt, outputs_NW=learnt.outputs_NW[order])


def feature_bug(past: RecordedPast, at: datetime) -> RecordedPast:
    """From `at` on the store's feature that says most of the label is missing, with all that are
    made of the same, in serving and in training alike."""
    names = [name for name in past.about.feature_names
             if name not in past.system.model.numbers] or list(past.about.feature_names)
    if not names:
        raise NotReady(f"{past.system.name!r} reads no feature that could be missing")
    later = past.rows["event_timestamp"] >= at
    return past.with_rows(past.rows.assign(**{
        name: past.rows[name].mask(later) for name in _telling(past, names)}), "feature-bug")


def drift(past: RecordedPast, at: datetime) -> RecordedPast:
    """From `at` on the feature that says most of the label is mirrored, with all that are made of
    the same: what was high is low. What is rarely anything but one value has no mirror."""
    later = past.rows["event_timestamp"] >= at
    before = past.rows.loc[~later, list(past.about.feature_names)].select_dtypes("number")
    ends = {str(name): before[name].quantile([0.01, 0.99]).tolist() for name in before}
    names = [name for name, (low, high) in ends.items() if low < high]
    if not names:
        raise NotReady(f"{past.system.name!r} reads no number that could drift")
    return past.with_rows(past.rows.assign(**{
        name: past.rows[name].mask(later, sum(ends[name]) - past.rows[name])
        for name in _telling(past, names)}), "drift")


def label_outage(past: RecordedPast, at: datetime) -> RecordedPast:
    """For a week nobody hears of a label; what became known then arrives afterwards."""
    known = past.rows["known_at"]
    late = (known >= at) & (known < at + OUTAGE)
    return past.with_rows(past.rows.assign(known_at=known.mask(late, at + OUTAGE)),
                           "label-outage")


def hostile_feedback(past: RecordedPast, at: datetime) -> RecordedPast:
    """From `at` on a share of the labels is told wrong: that of another row that has a different
    one."""
    draw = np.random.default_rng(SEED)
    rows = past.rows
    chosen: Bools = (rows["known_at"] >= at).to_numpy() & (draw.random(len(rows)) < HOSTILE)
    labels = rows["label"].to_numpy(dtype=object).copy()
    others = labels[draw.permutation(len(labels))]
    distinct = list(dict.fromkeys(labels.tolist()))
    for row in np.flatnonzero(chosen):
        if others[row] == labels[row]:
            others[row] = next((each for each in distinct if each != labels[row]), labels[row])
    labels[chosen] = others[chosen]
    told = pd.Series(labels, index=rows.index).astype(rows["label"].dtype)
    return past.with_rows(rows.assign(label=told), "hostile-feedback")


def api_crash(past: RecordedPast, at: datetime) -> RecordedPast:
    """For half a day nobody answers: what happens then has no answer, and nobody tells its label.
    """
    happened = past.rows["event_timestamp"]
    lost = (happened >= at) & (happened < at + CRASH)
    return past.with_rows(past.rows.assign(
        answered=~lost, known_at=past.rows["known_at"].mask(lost)), "api-crash")


IN_ROWS: dict[str, Callable[[RecordedPast, datetime], RecordedPast]] = {
    "feature-bug": feature_bug, "drift": drift, "label-outage": label_outage,
    "hostile-feedback": hostile_feedback, "api-crash": api_crash,
}
FAULTS = (*IN_ROWS, "broken-candidate")


def faulty(past: RecordedPast, faults: tuple[str, ...], default: datetime) -> Past:
    """A past in which these go wrong: `name` or `name@DATE`, at `default` unless dated.

    Raises UnknownName, and NotReady for what is no date.
    """
    broken = list[datetime]()
    for fault in faults:
        name, _, day = fault.partition("@")
        if name not in FAULTS:
            raise unknown("fault", name, FAULTS)
        try:
            at = midnight(parse_day(day)) if day else default
        except ValueError as error:
            raise NotReady(f"--fault {fault}: {day!r} is no date; expected one such as "
                           f"{default.date()}") from error
        if name in IN_ROWS:
            past = IN_ROWS[name](past, at)
        else:
            broken.append(at)
    whole: Past = past
    for at in broken:
        whole = BrokenCandidate(past=whole, at=at)
    return whole


def _telling(past: RecordedPast, names: Sequence[str]) -> list[str]:
    """The feature that says most of the label, of those that the model reads, and all that go
    with it: a model that reads these too would hardly miss it alone."""
    codes_N = past.system.target.codes(past.rows["truth"].tolist())
    values = {name: past.rows[name].to_numpy(float) for name in names}
    read = [name for name in names if name not in past.system.model.without] or names
    told = max(read, key=lambda name: _correlation(values[name], codes_N))
    return [name for name in names
            if name == told or _correlation(values[name], values[told]) >= ALIKE]


def _correlation(first_N: Floats, second_N: Floats) -> float:
    known = np.isfinite(first_N) & np.isfinite(second_N)
    if known.sum() < 3 or np.std(first_N[known]) == 0 or np.std(second_N[known]) == 0:
        return 0.0
    return abs(float(np.corrcoef(first_N[known], second_N[known])[0, 1]))
