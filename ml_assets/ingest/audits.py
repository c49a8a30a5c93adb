"""What is not reported: an audited sample of predictions, and what follows for all others.

Where silence says something, a mistake that nobody reports becomes a label that is wrong. A sample,
drawn by the prediction's id whatever is said of it, tells which share of the mistakes is reported;
the inverse of the chance that a mistake becomes known then makes those that did stand for all
(Horvitz and Thompson, "A generalization of sampling without replacement from a finite universe",
JASA 47, 1952; for labels that are wrong at known rates: Natarajan et al., "Learning with noisy
labels", NeurIPS 2013).

Reports may be lies. Audits tell which share of them is true; which ones, the model that answered: a
lie about what it was sure of is likelier than a mistake there (importance weights by the posterior
of the label, Liu and Tao, "Classification with noisy labels by importance reweighting", IEEE TPAMI
38, 2016).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from math import exp, log

import numpy as np
import pandas as pd

from ml_assets.core.system import System
from ml_assets.core.target import Bools, Floats, Label, Target
from ml_assets.core.time import DAY
from ml_assets.ingest.labels import silence_speaks
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog, Feedback, Prediction
from ml_assets.ingest.log.resolution import first_words, resolve
from ml_assets.ingest.tables import audits_schema, predictions_schema
from ml_assets.targets.stored import kept_outputs

ALL = "all"
"""The group of all predictions, if silence does not say one of few labels."""
FEWEST = 10
"""Mistakes that audits must have found before anything is made of their share."""
LEAST = 0.05
"""A mistake that became known stands for at most 20."""
LEAST_ODDS = 0.001
"""However sure a model was, a report may be true with such odds: it may know too little."""


def due(log: EventLog, system: System, now: datetime) -> Iterator[Prediction]:
    """The predictions whose audit is open: not answered yet, and not mature."""
    audit = system.feedback.audit
    if audit is None:
        return
    for each in log.predictions(system.name, now - system.truth.maturity, now):
        if each.audit is not None and not any(
                said.source == audit.source for said in log.feedback.on(each.prediction_id)):
            yield each


def matured(
    system: System, predictions: Iterable[Prediction], feedback: Iterable[Feedback], *,
    start: datetime, end: datetime,
) -> pd.DataFrame:
    """What became of the audits of predictions of which silence speaks in `[start, end)`, as
    `tables.audits_schema`.

    feedback: all that was said about these before `end`
    """
    audit, truth = system.feedback.audit, system.truth
    words: dict[str, list[Feedback]] = {}
    for said in feedback:
        words.setdefault(said.prediction_id, []).append(said)
    rows = []
    for each in predictions:
        speaks, expected = silence_speaks(truth, each), truth.of_silence(each.decision)
        if audit is None or each.audit is None or expected is None or not start <= speaks < end:
            continue
        heard = [said for said in words.get(each.prediction_id, ()) if said.received_at <= speaks]
        answers = [said.label for said in heard if said.source == audit.source]
        others = [said for said in heard if said.source != audit.source]
        found = [change.label for change in
                 resolve(others, system.feedback, first_words(heard)).changes][-1:]
        rows.append((
            each.event_id, each.event_timestamp, speaks, each.prediction_id, expected,
            bool(_apart(system.target, answers[-1:], [expected])[0]) if answers else None,
            bool(found) and bool(_apart(system.target, found, [expected])[0]), each.audit))
    return pd.DataFrame(rows, columns=audits_schema(system).names)


@dataclass(frozen=True, kw_only=True)
class Reports:
    """wrong: mistakes that audits found; reported: how many of them anybody else had reported;
    denied: reports of anybody else that audits found to be false"""

    wrong: int
    reported: int
    denied: int = 0

    @property
    def heard(self) -> int:
        return self.reported + self.denied

    def truthful(self, everywhere: float | None = None) -> float:
        """The share of reports that are true.

        everywhere: the share of all groups, which counts as much as `FEWEST` reports here, since of
        few reports none may be true by chance; without it the share is 1 if too few are known
        """
        if everywhere is None:
            return 1.0 if self.heard < FEWEST else self.reported / self.heard
        return (self.reported + FEWEST * everywhere) / (self.heard + FEWEST)

    def truthful_of(self, odds_N: Floats, everywhere: float) -> Floats:
        """(N,) how probable it is that each report is true: all together as many as audits say,
        each by its odds.

        odds_N: of a mistake to none, by the model that answered, before anybody spoke; NaN if it
        does not say
        """
        share = self.truthful(everywhere)
        if not 0 < share < 1 or not len(odds_N) or np.isnan(odds_N).any():
            return np.full(len(odds_N), share)
        odds_N = np.clip(odds_N, LEAST_ODDS, 1 / LEAST_ODDS)
        low, high = log(LEAST_ODDS) - 20, 20 - log(LEAST_ODDS)
        for _ in range(60):
            middle = (low + high) / 2
            true_N: Floats = 1 / (1 + exp(-middle) / odds_N)
            low, high = (middle, high) if true_N.mean() < share else (low, middle)
        return true_N


NOTHING = Reports(wrong=0, reported=0)


@dataclass(frozen=True, kw_only=True)
class Reporting:
    """What audits tell of those that silence spoke of.

    groups: by what silence says; `ALL` alone if that is one of many labels
    propensity: of being audited, on average
    audited, wrong: how many audits were answered, and how many found a mistake
    """

    groups: Mapping[str, Reports]
    propensity: float
    audited: int

    @classmethod
    def of(cls, audits: pd.DataFrame, target: Target) -> Reporting:
        """audits: rows of `tables.audits_schema`"""
        answered = audits[audits["wrong"].notna()]
        wrong, reported = (answered[name].to_numpy(dtype=bool) for name in ("wrong", "reported"))
        names = _groups(target, answered["expected"].tolist())
        return cls(
            groups={str(name): Reports(
                wrong=int((wrong & mine).sum()), reported=int((wrong & reported & mine).sum()),
                denied=int((~wrong & reported & mine).sum()))
                for name in np.unique(names) for mine in [names == name]},
            propensity=float(answered["propensity"].mean()) if len(answered) else 0.0,
            audited=len(answered))

    @property
    def wrong(self) -> int:
        return sum(each.wrong for each in self.groups.values())

    @property
    def whole(self) -> Reports:
        """Of all groups."""
        groups = self.groups.values()
        return Reports(wrong=self.wrong, reported=sum(each.reported for each in groups),
                       denied=sum(each.denied for each in groups))

    def chances(self, target: Target, expected: Sequence[Label]) -> Floats:
        """(N,) how probable it is that a mistake becomes known, where silence says `expected`: by a
        report or by an audit. 1 while audits have found too few mistakes to tell.
        """
        whole = self.whole
        by_name = {}
        for name in set(names := _groups(target, expected)):
            group = self.groups.get(name, whole)
            group = group if group.wrong >= FEWEST else whole
            unheard = 1 - group.reported / group.wrong if group.wrong >= FEWEST else 0.0
            by_name[name] = max(1 - unheard * (1 - self.propensity), LEAST)
        return np.array([by_name[name] for name in names], dtype=np.float64)

    def weights(
        self, system: System, labels: Sequence[Label], decisions: Sequence[Label],
        outputs_NW: Floats | None = None, audited_N: Bools | None = None,
    ) -> Floats:
        """(N,) for how many rows each stands whose label is known, and what was answered.

        A mistake that became known stands for those that did not, and for less the likelier it is
        that its report is false. What silence says of the same decision stands for so much less
        that all together stand for N: some of it is wrong.

        outputs_NW: of the models that answered; unless given, reports of the same decision are
        equally likely to be true. audited_N: whose labels an audit gave: these are true
        """
        expected = [_expected(system, each) for each in decisions]
        apart_N = contradicts(system, labels, decisions)
        weights_N, names = np.ones(len(labels)), _groups(system.target, expected)
        stands_N = 1 / self.chances(system.target, expected)
        everywhere = self.whole.truthful()
        odds_N = np.full(len(labels), np.nan) if outputs_NW is None else _odds(
            system.target, labels, expected, outputs_NW)
        sure_N = np.zeros(len(labels), dtype=bool) if audited_N is None else audited_N
        for name in np.unique(names):
            mine_N = names == name
            told_N = mine_N & apart_N
            weights_N[told_N] = stands_N[told_N]
            said_N = told_N & ~sure_N
            weights_N[said_N] *= self.groups.get(str(name), NOTHING).truthful_of(
                odds_N[said_N], everywhere)
            told = float(weights_N[told_N].sum())
            weights_N[told_N] *= min(1.0, int(mine_N.sum()) / max(told, 1e-9))
            silent = int((mine_N & ~apart_N).sum())
            if silent:
                left = int(mine_N.sum()) - float(weights_N[mine_N & apart_N].sum())
                weights_N[mine_N & ~apart_N] = max(left / silent, 0.0)
        return weights_N


def reporting(
    lake: Lake, system: System, *, until: datetime, since: date | None = None
) -> Reporting | None:
    """What was known before `until`; None if the system has no audits.

    since: the first day of audits that count, all unless given
    """
    if system.feedback.audit is None:
        return None
    rows = lake.read(system.name, "audits", audits_schema(system), start=since,
                     end=until.date() + DAY)
    return Reporting.of(rows[rows["known_at"] < until], system.target)


def contradicts(system: System, labels: Sequence[Label], decisions: Sequence[Label]) -> Bools:
    """(N,) which labels say something else than silence would have said of the decisions."""
    expected = [system.truth.of_silence(each) for each in decisions]
    known_N = np.array([each is not None for each in expected], dtype=bool)
    apart_N = np.zeros(len(labels), dtype=bool)
    apart_N[known_N] = _apart(
        system.target, [label for label, known in zip(labels, known_N, strict=True) if known],
        [each for each in expected if each is not None])
    return apart_N


def label_weights(
    lake: Lake, system: System, as_of: datetime, event_ids: Sequence[str],
    labels: Sequence[Label], live_N: Bools,
) -> Floats:
    """(N,) for how many rows each row of a training set stands: a mistake that became known, for
    those that did not.

    as_of: what was known before it; live_N: which rows the API answered
    """
    weights_N = np.ones(len(event_ids))
    known = reporting(lake, system, until=as_of)
    if known is None or not live_N.any():
        return weights_N
    end = as_of.date() + DAY
    served = lake.read(system.name, "predictions", predictions_schema(system), end=end,
                       columns=["event_id", "decision", "score", "outputs"])
    audits = lake.read(system.name, "audits", audits_schema(system), end=end)
    sure = set(audits["event_id"][audits["wrong"].notna() & (audits["known_at"] < as_of)])
    rows = {event_id: row for row, event_id in enumerate(served["event_id"])}
    mine = [row for row in np.flatnonzero(live_N).tolist() if event_ids[row] in rows]
    of_mine = served.iloc[[rows[event_ids[row]] for row in mine]]
    weights_N[mine] = known.weights(
        system, [labels[row] for row in mine], of_mine["decision"].tolist(),
        kept_outputs(system.target, of_mine["score"].tolist(), of_mine["outputs"].tolist()),
        np.array([event_ids[row] in sure for row in mine], dtype=bool))
    return weights_N


def _expected(system: System, decision: Label) -> Label:
    said = system.truth.of_silence(decision)
    return decision if said is None else said


def _apart(target: Target, labels: Sequence[Label], expected: Sequence[Label]) -> Bools:
    return ~target.right(target.codes(labels), target.codes(expected))


def _odds(
    target: Target, labels: Sequence[Label], expected: Sequence[Label], outputs_NW: Floats
) -> Floats:
    """(N,) of what is said to what silence says, by outputs; NaN if these are no probabilities."""
    if target.lake_type == "double":
        return np.full(len(labels), np.nan)
    said_N, silent_N = (target.losses(target.codes(each), outputs_NW)
                        for each in (labels, expected))
    return np.asarray(np.exp(silent_N - said_N))


def _groups(target: Target, expected: Sequence[Label]) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    """The group of each."""
    if target.lake_type == "double":
        return np.full(len(expected), ALL)
    return np.array([str(each) for each in expected], dtype=str)
