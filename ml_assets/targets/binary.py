"""A question that is answered by yes or no: is it broken, will it be returned?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.declaration import declaration
from ml_assets.core.policies import Gate, require
from ml_assets.core.target import Floats, Measured, Metric
from ml_assets.targets.booleans import Booleans
from ml_assets.targets.metrics.binary import MeasuredBinary


@declaration
class Binary(Booleans):
    """Labels are True or False; a model answers with the probability of True.

    threshold: the score from which the decision is True, in (0, 1)
    """

    name: str
    threshold: float = 0.5

    kind: ClassVar[str] = "binary"
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
    def boundary(self) -> float:
        return self.threshold

    @property
    def gates(self) -> tuple[Gate, ...]:
        return (Gate(metric="roc_auc", at_least=0.6), *super().gates)

    def rates(self, codes_N: Floats, decisions_N: Floats) -> dict[str, tuple[int, int]]:
        true_N, decided_N = codes_N > 0, decisions_N > 0
        return {
            "false_positive_rate": (int((decided_N & ~true_N).sum()), int((~true_N).sum())),
            "recall": (int((decided_N & true_N).sum()), int(true_N.sum())),
        }

    def measured(self, codes_N: Floats, outputs_NW: Floats, subjects: Subjects) -> Measured:
        return MeasuredBinary(codes_N > 0, outputs_NW[:, 0], self.losses(codes_N, outputs_NW),
                              threshold=self.threshold)

    def figures(
        self, codes_N: Floats, models: Mapping[str, Floats], title: str, subjects: Subjects
    ) -> dict[str, bytes]:
        from ml_assets.targets.plots import binary as plots
        from ml_assets.targets.plots import drawing

        scores = {name: outputs_NW[:, 0] for name, outputs_NW in models.items()}
        return drawing.pictures(plots.panels(codes_N > 0, scores), title)
