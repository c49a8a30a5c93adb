"""The toy with each kind of target and another truth for each: the same API, other labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from ml_assets.core.feedback import FeedbackPolicy
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.target import Label, Scale, Target
from ml_assets.core.truths import Choices, Complaints, Outcomes, Recorded, Truth
from ml_assets.targets import Binary, Classes, Cost, Number, TopPrecision
from tests.serving.kit import FakeScorer, Toy
from tests.serving.tiles import ScoredToy
from tests.toy import TOY

DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class KindScorer(FakeScorer):
    """Any target's outputs by a formula that reads text, number and feature."""

    def outputs(
        self, texts: Mapping[str, Sequence[str]], dense: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        numbers = np.nan_to_num(dense.astype(np.float64)).sum(axis=1)
        logits_NK = np.outer(numbers / 10, np.cos(np.arange(self.target.logits) + self.bias))
        return self.target.outputs_of(
            logits_NK, Scale(mean=10, deviation=30, below=2, above=3), self.feature_names, dense)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """system: the toy with this kind of target; labels: some; wrong: what is none, each with what
    is said of it."""

    system: System
    labels: tuple[Label, ...]
    wrong: Mapping[str, tuple[object, str]]

    def toy(self, settings: Settings) -> Toy:
        target = self.system.target
        toy = ScoredToy(settings=settings, system=self.system, models={
            version: KindScorer(target=target, bias=bias) for version, bias in ((1, 0), (2, 2))})
        toy.deploy(1)
        return toy


def _kind(target: Target, truth: Truth, labels: tuple[Label, ...], **wrong: tuple[object, str]
          ) -> Kind:
    return Kind(
        system=replace(TOY, target=target, truth=truth, feedback=FeedbackPolicy(), gates=()),
        labels=labels, wrong=wrong)


KINDS = {
    "binary": _kind(
        Binary(name="returned"), Outcomes(source="buyer", after=DAY, silence=False),
        (True, False), text=("true", "expected true or false"), number=(1, "returned is 1;")),
    "costly": _kind(
        Binary(name="returned", cost=Cost(miss="amount", alarm=5.0, unit="EUR"),
               tops=(TopPrecision(by="shop", top=1),)),
        Outcomes(source="buyer", after=DAY, silence=False), (True, False),
        text=("true", "expected true or false")),
    "classes": _kind(
        Classes(name="queue", classes=("billing", "returns", "other")),
        Complaints(source="buyer", within=DAY, maturity=DAY), ("returns", "billing"),
        near=("biling", "expected 'billing', 'returns' or 'other'. Closest: 'billing'."),
        yes=(True, "queue is True")),
    "number": _kind(
        Number(name="delay", unit="min", minimum=-60, maximum=600, tolerance=5),
        Recorded(source="buyer", within=DAY), (37.5, 0.0),
        text=("37.5", "expected a number from -60 to 600 min"), far=(601, "delay is 601"),
        yes=(True, "delay is True")),
    "interval": _kind(
        Number(name="delay", unit="min", minimum=-60, maximum=600, tolerance=5, interval=0.8),
        Recorded(source="buyer", within=DAY), (37.5, 0.0),
        text=("37.5", "expected a number from -60 to 600 min")),
    "chosen": _kind(
        Binary(name="clicked", threshold=0.1),
        Choices(source="buyer", within=timedelta(hours=1), rest=False), (True, False),
        nothing=(None, "clicked is None")),
}
