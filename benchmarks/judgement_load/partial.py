"""Learning where people report some mistakes only, and where some of them lie.

A model decides, people report some of its mistakes, silence confirms the rest; the next model
learns from these labels, and so on. All by the product's own resolution, audits, weights and fit.
Three systems: a filter (two labels, of whose mistakes one kind is hardly ever reported), a router
(three classes, of whose mistakes half are reported) and a forecast (a number; people complain about
what is far off).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import nan

import numpy as np

from benchmarks.serving_load.system import NUMBERS, PAYMENTS
from ml_assets.core.feedback import Audit, FeedbackPolicy, TrustClass
from ml_assets.core.model import FullBatch, Model
from ml_assets.core.model import Numbers as Inputs
from ml_assets.core.system import System
from ml_assets.core.target import Bools, Floats, Label
from ml_assets.core.time import DAY
from ml_assets.core.truths import Complaints
from ml_assets.ingest.audits import Reporting, matured
from ml_assets.ingest.labels import known_of
from ml_assets.ingest.log.event_log import Feedback, Prediction
from ml_assets.ingest.log.resolution import first_words, resolve
from ml_assets.targets import Binary, Classes, Number
from ml_assets.training.fit import fit
from ml_assets.training.rows.labelled import LabelledRows

ROWS, TESTED, ROUNDS = 8_000, 20_000, 3
"""Of one model's life, of the test with true labels, and models that follow the first one."""
FIRST = 1_000
"""Rows with true labels, from which the first model learns."""
START = datetime(2024, 1, 8, tzinfo=UTC)
AUDIT = Audit(share=0.05)
WEIGHTS = np.linspace(1.0, 0.1, len(NUMBERS))

FILTER = replace(
    PAYMENTS, target=Binary(name="disputed"),
    truth=Complaints(source="recipient", within=DAY, maturity=2 * DAY), gates=(),
    feedback=FeedbackPolicy(
        trusted=(TrustClass(name="reader", sources=("recipient",), unlimited=True),),
        audit=AUDIT),
    model=Model(inputs=(Inputs(*NUMBERS),), fit=FullBatch(iterations=30)))
ROUTER = replace(FILTER, gates=(),
                 target=Classes(name="queue", classes=("billing", "returns", "other")))
FORECAST = replace(FILTER, target=Number(name="delay", unit="min", tolerance=1.0), gates=())
REPORTED: Mapping[Label, float] = {True: 0.1, False: 0.5}
"""The share of mistakes that is reported, by what was answered; of others half."""


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """The last model, on rows with true labels.

    auc: of classes, the mean of each against the rest; NaN of numbers
    off: mean of what it expects less the mean of what came true, in standard deviations of what
        came true; NaN of classes
    loss: mean loss of a row
    judged: the error rate that the labels told of its predecessor; wrong: the true one
    """

    auc: float
    off: float
    loss: float
    judged: float
    wrong: float


def learnt(
    system: System, seed: int, *, way: str, hostile: float = 0.0, as_source: str = "recipient"
) -> Learnt:
    """Several models, each of which learns from what became known of the decisions of the one
    before.

    way: "true": every label is known; "silence": the labels as they become known; "audits": these,
        weighed by what audits tell
    hostile: the share of predictions of which `as_source` says what is not true
    """
    draw = np.random.default_rng(seed)
    dense, codes = _drawn(system, FIRST, draw)
    model = _fitted(system, dense, codes, None)
    judged = wrong = 0.0
    for _ in range(ROUNDS):
        dense, truth_N = _drawn(system, ROWS, draw)
        outputs = _outputs(model, dense)
        decided_N = system.target.decide(outputs)
        wrong_N = ~system.target.right(truth_N, decided_N)
        wrong = float(wrong_N.mean())
        if way == "true":
            codes, weights = truth_N, None
        else:
            codes, weights = _known(
                system, truth_N, decided_N, wrong_N, draw, outputs, weighed=way == "audits",
                hostile=hostile, as_source=as_source)
        counted = np.ones(ROWS) if weights is None else weights
        judged = float(((~system.target.right(codes, decided_N)) * counted).sum() / counted.sum())
        model = _fitted(system, dense, codes, weights)
    dense, truth_N = _drawn(system, TESTED, np.random.default_rng(10_000 + seed))
    outputs = _outputs(model, dense)
    numbers, several = isinstance(system.target, Number), isinstance(system.target, Classes)
    return Learnt(
        auc=nan if numbers else float(np.mean([
            _auc(outputs[:, place], truth_N == place if several else truth_N > 0)
            for place in range(outputs.shape[1])])),
        judged=judged, wrong=wrong,
        off=nan if several else float((outputs[:, 0].mean() - truth_N.mean()) / truth_N.std()),
        loss=float(system.target.losses(truth_N, outputs).mean()))


def _known(
    system: System, truth_N: Floats, decided_N: Floats, wrong_N: Bools, draw: np.random.Generator,
    outputs_NW: Floats, *, weighed: bool, hostile: float, as_source: str,
) -> tuple[Floats, Floats | None]:
    """The codes that become known, and their weights if they are weighed."""
    target, truth, audit = system.target, system.truth, system.feedback.audit
    assert audit is not None
    shares_N = np.array([REPORTED.get(target.label_of(code), 0.5) for code in decided_N])
    told_N = wrong_N & (draw.random(ROWS) < shares_N)
    lies_N = draw.random(ROWS) < hostile
    predictions, words, labels = [], list[Feedback](), list[Label]()
    for n, (code, decision) in enumerate(zip(truth_N, decided_N, strict=True)):
        name, label = f"p{n}", target.label_of(code)
        at = START + n * timedelta(seconds=1)
        predictions.append(Prediction(
            prediction_id=name, system=system.name, event_id=f"e{n}", event_timestamp=at,
            accepted_at=at, request="{}", features_as_of=at, features=np.zeros(1, np.float32),
            feature_names=("amount",), model_version=1, score=0.5,
            decision=target.label_of(decision),
            audit=audit.propensity(name) if weighed else None))
        said = [("recipient", label, 1)] if told_N[n] else []
        if lies_N[n]:
            lie = (code + 1) % len(target.classes) if isinstance(target, Classes) else 1 - code
            said.append((as_source, target.label_of(lie), 2))
        if predictions[-1].audit is not None:
            said.append((audit.source, label, 3))
        words += [Feedback(prediction_id=name, system=system.name, label=each, source=source,
                           received_at=at + timedelta(hours=hours)) for source, each, hours in said]
    by_id: dict[str, list[Feedback]] = {}
    for word in words:
        by_id.setdefault(word.prediction_id, []).append(word)
    first = first_words(words)
    for each in predictions:
        changes = resolve(by_id.get(each.prediction_id, []), system.feedback, first).changes
        labels.append(known_of(truth, each, changes)[-1].label)
    codes = target.codes(labels)
    if not weighed:
        return codes, None
    audits = matured(system, predictions, words, start=START, end=START + 30 * DAY)
    return codes, Reporting.of(audits, target).weights(
        system, labels, [each.decision for each in predictions], outputs_NW,
        np.array([each.audit is not None for each in predictions]))


def _drawn(system: System, rows: int, draw: np.random.Generator) -> tuple[Floats, Floats]:
    """(N, D) numbers and (N,) codes."""
    dense = draw.normal(size=(rows, len(NUMBERS)))
    signal_N = dense @ WEIGHTS
    if isinstance(system.target, Classes):
        other_N = dense @ WEIGHTS[::-1]
        logits_NC = 2 * np.column_stack([signal_N, other_N, np.zeros(rows)])
        return dense, np.argmax(logits_NC + draw.gumbel(size=logits_NC.shape), axis=1).astype(float)
    if isinstance(system.target, Binary):
        return dense, (draw.random(rows) < 1 / (1 + np.exp(2.0 - 2.0 * signal_N))).astype(float)
    return dense, signal_N + draw.normal(0, 1.0, rows)


def _fitted(system: System, dense: Floats, codes: Floats, weights: Floats | None) -> object:
    return fit(system.model, system.target, LabelledRows(
        texts={}, dense=dense.astype(np.float32), codes=codes, feature_names=NUMBERS,
        weights=None if weights is None else weights.astype(np.float32))).scorer


def _outputs(scorer: object, dense: Floats) -> Floats:
    outputs: Floats = scorer.outputs({}, dense.astype(np.float32))  # type: ignore[attr-defined]
    return outputs


def _auc(scores_N: Floats, positive: Bools) -> float:
    """The share of pairs in order."""
    ranks_N = np.empty(len(scores_N))
    ranks_N[np.argsort(scores_N, kind="stable")] = np.arange(1, len(scores_N) + 1)
    count = int(positive.sum())
    return float((ranks_N[positive].sum() - count * (count + 1) / 2)
                 / (count * (len(scores_N) - count)))


def mean_of(found: Sequence[Learnt], name: str) -> float:
    return float(np.mean([getattr(each, name) for each in found]))
