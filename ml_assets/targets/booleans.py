"""What targets share whose labels are True or False."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from ml_assets.core.target import Bools, Floats, Label, Scale, refused
from ml_assets.targets.discrete import Discrete
from ml_assets.targets.logistic import SMALLEST, sigmoid

SMALLEST_CLASS = 5
"""Fewer rows of either label say nothing about a model."""


class Booleans(Discrete):
    """A model answers with the probability of True; from `boundary` on its decision is True, if
    there is one for all rows.
    """

    lake_type: ClassVar = "bool"
    loss: ClassVar[str] = "binary_cross_entropy_with_logits"
    margins: ClassVar[bool] = True
    variety: ClassVar[str] = "both True and False"

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
        return sigmoid(logits_NK * scale.slope + scale.offset)

    def check(self, outputs_NW: Floats) -> Bools:
        sound_N: Bools = np.all((outputs_NW >= 0) & (outputs_NW <= 1), axis=1)
        return sound_N

    def decide(self, outputs_NW: Floats) -> Floats:
        assert self.boundary is not None, "a kind without one decides by itself"
        return (outputs_NW[:, 0] >= self.boundary).astype(np.float64)

    @property
    def bounds(self) -> tuple[float, float]:
        return 0.0, 1.0

    @property
    def score_schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": 0, "maximum": 1,
                "description": "The probability of True."}

    @property
    @abstractmethod
    def boundary(self) -> float | None: ...

    def losses(self, codes_N: Floats, outputs_NW: Floats) -> Floats:
        """Log loss in nats."""
        inner_N = np.clip(outputs_NW[:, 0], SMALLEST, 1 - SMALLEST)
        return -np.log(np.where(codes_N > 0, inner_N, 1 - inner_N))

    def described(self, codes_N: Floats) -> str:
        return f"{len(codes_N)} rows, {int(codes_N.sum())} of them True"

    def enough(self, codes_N: Floats) -> bool:
        return bool(min(codes_N.sum(), (1 - codes_N).sum()) >= SMALLEST_CLASS)

    def constant(self, codes_N: Floats) -> Floats:
        return np.array([codes_N.mean()])
