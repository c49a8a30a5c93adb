"""A question that is answered by yes or no: is it broken, will it be returned?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ml_assets.core.declaration import declaration
from ml_assets.core.policies import Gate, require
from ml_assets.core.target import (
    Bools,
    Floats,
    Label,
    Measured,
    Metric,
    Scale,
    refused,
)
from ml_assets.targets.binary_metrics import MeasuredBinary
from ml_assets.targets.discrete import Discrete
from ml_assets.targets.logistic import SMALLEST, sigmoid

SMALLEST_CLASS = 5
"""Fewer rows of either label say nothing about a model."""


@declaration
class Binary(Discrete):
    """Labels are True or False; a model answers with the probability of True.

    threshold: the score from which the decision is True, in (0, 1)
    """

    name: str
    threshold: float = 0.5

    kind: ClassVar[str] = "binary"
    lake_type: ClassVar = "bool"
    loss: ClassVar[str] = "binary_cross_entropy_with_logits"
    variety: ClassVar[str] = "both True and False"
    metrics: ClassVar = {
        "log_loss": Metric(higher=False),
        "brier": Metric(higher=False, highest=1),
        "calibration_error": Metric(higher=False, highest=1),
        "roc_auc": Metric(higher=True, highest=1),
        "average_precision": Metric(higher=True, highest=1),
        "recall": Metric(higher=True, highest=1),
        "recall_at_fpr_0.5%": Metric(higher=True, highest=1),
        "recall_at_fpr_1%": Metric(higher=True, highest=1),
        "false_positive_rate": Metric(higher=False, highest=1),
    }
    shown: ClassVar = ("log_loss", "roc_auc", "recall_at_fpr_0.5%", "recall_at_fpr_1%")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.threshold < 1, self, "threshold", self.threshold, "a share in (0, 1)")

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}

    def label(self, value: object) -> Label:
        if isinstance(value, (bool, np.bool_)):
            return bool(value)
        raise refused(self, value, "true or false")

    def label_of(self, code: float) -> Label:
        return bool(code)

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("probability",)

    def link(self, logits_NK: Floats, scale: Scale) -> Floats:
        return sigmoid(logits_NK)

    def check(self, outputs_NW: Floats) -> Bools:
        sound_N: Bools = np.all((outputs_NW >= 0) & (outputs_NW <= 1), axis=1)
        return sound_N

    def decide(self, outputs_NW: Floats) -> Floats:
        return (outputs_NW[:, 0] >= self.threshold).astype(np.float64)

    @property
    def score_schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": 0, "maximum": 1,
                "description": "The probability of True."}

    @property
    def boundary(self) -> float | None:
        return self.threshold

    @property
    def gates(self) -> tuple[Gate, ...]:
        return (Gate(metric="roc_auc", at_least=0.6), *super().gates)

    def losses(self, codes_N: Floats, outputs_NW: Floats) -> Floats:
        """Log loss in nats."""
        inner_N = np.clip(outputs_NW[:, 0], SMALLEST, 1 - SMALLEST)
        return -np.log(np.where(codes_N > 0, inner_N, 1 - inner_N))

    def rates(self, codes_N: Floats, decisions_N: Floats) -> dict[str, tuple[int, int]]:
        true_N, decided_N = codes_N > 0, decisions_N > 0
        return {
            "false_positive_rate": (int((decided_N & ~true_N).sum()), int((~true_N).sum())),
            "recall": (int((decided_N & true_N).sum()), int(true_N.sum())),
        }

    def measured(self, codes_N: Floats, outputs_NW: Floats) -> Measured:
        return MeasuredBinary(codes_N > 0, outputs_NW[:, 0], self.losses(codes_N, outputs_NW),
                              threshold=self.threshold)

    def figures(
        self, codes_N: Floats, models: Mapping[str, Floats], title: str
    ) -> dict[str, bytes]:
        from ml_assets.targets import binary_plots, drawing

        scores = {name: outputs_NW[:, 0] for name, outputs_NW in models.items()}
        return drawing.pictures(binary_plots.panels(codes_N > 0, scores), title)

    def described(self, codes_N: Floats) -> str:
        return f"{len(codes_N)} rows, {int(codes_N.sum())} of them True"

    def enough(self, codes_N: Floats) -> bool:
        return bool(min(codes_N.sum(), (1 - codes_N).sum()) >= SMALLEST_CLASS)

    def constant(self, codes_N: Floats) -> Floats:
        return np.array([codes_N.mean()])
