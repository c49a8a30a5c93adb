"""A question that is answered by yes or no: is it broken, will it be returned?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, ClassVar

import numpy as np

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.declaration import declaration
from ml_assets.core.policies import Gate, require
from ml_assets.core.target import Bools, Floats, Measured, Metric
from ml_assets.targets.booleans import Booleans
from ml_assets.targets.cost import ALARMS, MISSES, Cost
from ml_assets.targets.metrics.binary import MeasuredBinary
from ml_assets.targets.metrics.top_precision import MeasuredTop
from ml_assets.targets.top_precision import TopPrecision

METRICS = {
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
COSTS = {"cost": Metric(higher=False, heavy=True), MISSES: Metric(higher=False),
         ALARMS: Metric(higher=False)}


@declaration
class Binary(Booleans):
    """Labels are True or False; a model answers with the probability of True.

    threshold: the score from which the decision is True, in (0, 1)
    cost: what decisions cost; it decides in the place of `threshold`, row by row
    tops: how many of the highest groups of a day are right: each is a metric more
    """

    name: str
    threshold: float = 0.5
    cost: Cost | None = None
    tops: tuple[TopPrecision, ...] = ()

    kind: ClassVar[str] = "binary"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.threshold < 1, self, "threshold", self.threshold, "a share in (0, 1)")
        names = [top.name for top in self.tops]
        require(len(set(names)) == len(names), self, "tops", names, "each once")

    @property
    def metrics(self) -> Mapping[str, Metric]:
        costs = {} if self.cost is None else COSTS
        return {**METRICS, **costs, **{top.name: Metric(higher=True, highest=1)
                                       for top in self.tops}}

    @property
    def shown(self) -> tuple[str, ...]:
        tops = tuple(top.name for top in self.tops)
        if self.cost is None:
            return ("log_loss", "roc_auc", "recall_at_fpr_0.5%", "recall_at_fpr_1%", *tops)
        return ("average_precision", *COSTS, "log_loss", "roc_auc", *tops)

    @property
    def entities(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(top.by for top in self.tops))

    @property
    def outputs(self) -> tuple[str, ...]:
        return (*super().outputs, *self.carries)

    @property
    def carries(self) -> tuple[str, ...]:
        return () if self.cost is None else self.cost.columns

    @property
    def logits(self) -> int:
        return 1

    def check(self, outputs_NW: Floats) -> Bools:
        return super().check(outputs_NW[:, :1])

    @property
    def boundary(self) -> float | None:
        return self.threshold if self.cost is None else None

    def decide(self, outputs_NW: Floats) -> Floats:
        thresholds_N = self._thresholds(outputs_NW)
        # What pays for itself exactly needs nobody's look.
        decided_N = (outputs_NW[:, 0] >= thresholds_N if self.cost is None
                     else outputs_NW[:, 0] > thresholds_N)
        return decided_N.astype(np.float64)

    def answer(self, outputs_W: Sequence[float]) -> dict[str, object]:
        """The row's own threshold; null if nothing could make it pay."""
        if self.cost is None:
            return {}
        # An answer of a version that carried something else.
        if len(outputs_W) != len(self.outputs):
            return {"threshold": None}
        threshold = float(self._thresholds(np.array([outputs_W]))[0])
        return {"threshold": threshold if isfinite(threshold) else None}

    @property
    def answer_schema(self) -> dict[str, Any]:
        if self.cost is None:
            return {}
        return {"threshold": {
            "type": ["number", "null"], "minimum": 0,
            "description": f"The score above which a decision of True is expected to cost less, in "
                           f"{self.cost.unit}; null if none is."}}

    @property
    def gates(self) -> tuple[Gate, ...]:
        return (Gate(metric="roc_auc", at_least=0.6), *super().gates)

    def constant(self, codes_N: Floats) -> Floats:
        return np.append(super().constant(codes_N), [np.nan] * len(self.carries))

    def rates(self, codes_N: Floats, decisions_N: Floats) -> dict[str, tuple[int, int]]:
        true_N, decided_N = codes_N > 0, decisions_N > 0
        return {
            "false_positive_rate": (int((decided_N & ~true_N).sum()), int((~true_N).sum())),
            "recall": (int((decided_N & true_N).sum()), int(true_N.sum())),
        }

    def costs(
        self, codes_N: Floats, decisions_N: Floats, outputs_NW: Floats
    ) -> dict[str, Floats]:
        if self.cost is None:
            return {}
        of = self.cost.of_decisions(codes_N > 0, decisions_N > 0, outputs_NW[:, 1:])
        return {"cost": of[MISSES] + of[ALARMS], **of}

    def measured(self, codes_N: Floats, outputs_NW: Floats, subjects: Subjects) -> Measured:
        labels_N, scores_N = codes_N > 0, outputs_NW[:, 0]
        decisions_N = self.decide(outputs_NW)
        return MeasuredBinary(
            labels_N, scores_N, self.losses(codes_N, outputs_NW), decided_N=decisions_N > 0,
            costs=self.costs(codes_N, decisions_N, outputs_NW),
            tops={top.name: MeasuredTop(top, labels_N, scores_N, subjects) for top in self.tops},
            subjects=subjects)

    def figures(
        self, codes_N: Floats, models: Mapping[str, Floats], title: str, subjects: Subjects
    ) -> dict[str, bytes]:
        from ml_assets.targets.plots import binary as plots
        from ml_assets.targets.plots import drawing

        scores = {name: outputs_NW[:, 0] for name, outputs_NW in models.items()}
        return drawing.pictures(plots.panels(codes_N > 0, scores), title)

    def _thresholds(self, outputs_NW: Floats) -> Floats:
        if self.cost is None:
            return np.full(len(outputs_NW), self.threshold)
        return self.cost.thresholds(outputs_NW[:, 1:])
