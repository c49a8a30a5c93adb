"""A question with one answer of several: which queue does this ticket belong to?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.declaration import closest, declaration, listed
from ml_assets.core.policies import require
from ml_assets.core.target import (
    Bools,
    Floats,
    Label,
    Measured,
    Metric,
    Scale,
    refused,
)
from ml_assets.core.texts import name_fault
from ml_assets.targets.discrete import Discrete
from ml_assets.targets.logistic import SMALLEST, softmax
from ml_assets.targets.metrics.classes import MeasuredClasses

LONGEST = 100
"""Characters of a class's name."""
MOST_RATES = 12
"""Classes whose recall is told one by one."""
SMALLEST_CLASS = 5
"""Rows in which fewer than two classes occur so often say nothing about a model."""


@declaration
class Classes(Discrete):
    """Labels are one of `classes`; a model answers with the probability of each.

    classes: at least two names; their order breaks ties and orders plots
    """

    name: str
    classes: tuple[str, ...]

    kind: ClassVar[str] = "classes"
    lake_type: ClassVar = "string"
    loss: ClassVar[str] = "cross_entropy"
    variety: ClassVar[str] = "at least two classes"
    metrics: ClassVar = {
        "log_loss": Metric(higher=False),
        "brier": Metric(higher=False, highest=2),
        "calibration_error": Metric(higher=False, highest=1),
        "accuracy": Metric(higher=True, highest=1),
        "macro_recall": Metric(higher=True, highest=1),
        "macro_f1": Metric(higher=True, highest=1),
    }
    shown: ClassVar = ("log_loss", "accuracy", "macro_recall", "calibration_error")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.classes) >= 2, self, "classes", self.classes, "at least two names")
        require(len(set(self.classes)) == len(self.classes), self, "classes", self.classes,
                "each name once")
        for each in self.classes:
            require(isinstance(each, str) and each != "" and name_fault(each, LONGEST) is None,
                    self, "classes", each, f"text on one line of 1 to {LONGEST} characters")

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.classes)}

    def label(self, value: object) -> Label:
        if isinstance(value, str) and value in self.classes:
            return value
        raise refused(self, value, f"{listed(self.classes)}.{closest(value, self.classes)}")

    def code(self, label: Label) -> float:
        return float(self.classes.index(str(label)))

    def label_of(self, code: float) -> Label:
        return self.classes[int(code)]

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(f"probability_{place}" for place in range(len(self.classes)))

    def link(self, logits_NK: Floats, scale: Scale) -> Floats:
        return softmax(logits_NK)

    def check(self, outputs_NW: Floats) -> Bools:
        shares_N: Bools = np.all((outputs_NW >= 0) & (outputs_NW <= 1), axis=1)
        whole_N: Bools = np.abs(outputs_NW.sum(axis=1) - 1) < 1e-6
        return np.logical_and(shares_N, whole_N)

    def decide(self, outputs_NW: Floats) -> Floats:
        return np.asarray(outputs_NW.argmax(axis=1), dtype=np.float64)

    def score(self, outputs_NW: Floats) -> Floats:
        """The probability of the class that is decided for."""
        return np.asarray(outputs_NW.max(axis=1))

    @property
    def bounds(self) -> tuple[float, float]:
        return 0.0, 1.0

    @property
    def score_schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": 0, "maximum": 1,
                "description": "The probability of the class that is decided for."}

    def answer(self, outputs_W: Sequence[float]) -> dict[str, object]:
        return {"probabilities": dict(zip(self.classes, outputs_W, strict=True))}

    @property
    def answer_schema(self) -> dict[str, Any]:
        shares = {each: {"type": "number", "minimum": 0, "maximum": 1} for each in self.classes}
        return {"probabilities": {
            "type": "object", "properties": shares, "required": list(self.classes),
            "description": "of each class; they sum to 1",
        }}

    def losses(self, codes_N: Floats, outputs_NW: Floats) -> Floats:
        """Log loss in nats."""
        true_N: Floats = outputs_NW[np.arange(len(codes_N)), codes_N.astype(np.int64)]
        return np.asarray(-np.log(np.clip(true_N, SMALLEST, 1)))

    def rates(self, codes_N: Floats, decisions_N: Floats) -> dict[str, tuple[int, int]]:
        """The recall of each class, for as many as a table has room for."""
        return {
            f"recall of {name}": (int((decisions_N[codes_N == code] == code).sum()),
                                  int((codes_N == code).sum()))
            for code, name in enumerate(self.classes[:MOST_RATES])
        }

    def measured(self, codes_N: Floats, outputs_NW: Floats, subjects: Subjects) -> Measured:
        return MeasuredClasses(codes_N.astype(np.int64), outputs_NW,
                               self.losses(codes_N, outputs_NW))

    def figures(
        self, codes_N: Floats, models: Mapping[str, Floats], title: str, subjects: Subjects
    ) -> dict[str, bytes]:
        from ml_assets.targets.plots import classes as plots
        from ml_assets.targets.plots import drawing

        panels = plots.panels(self.classes, codes_N.astype(np.int64), models)
        return drawing.pictures(panels, title)

    def described(self, codes_N: Floats) -> str:
        counts_K = np.bincount(codes_N.astype(np.int64), minlength=len(self.classes))
        most = np.argsort(-counts_K, kind="stable")[:3]
        told = [f"{counts_K[code]} {self.classes[code]}" for code in most if counts_K[code]]
        return f"{len(codes_N)} rows" + (f": {', '.join(told)}" if told else "") + (
            ", ..." if np.count_nonzero(counts_K) > len(most) else "")

    def enough(self, codes_N: Floats) -> bool:
        counts_K = np.bincount(codes_N.astype(np.int64), minlength=len(self.classes))
        return bool((counts_K >= SMALLEST_CLASS).sum() >= 2)

    def constant(self, codes_N: Floats) -> Floats:
        counts_K = np.bincount(codes_N.astype(np.int64), minlength=len(self.classes))
        return np.asarray(counts_K / counts_K.sum())
