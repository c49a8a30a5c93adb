"""A question whose answer is a quantity: how many minutes late, how many EUR?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any, ClassVar, Literal

import numpy as np

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.declaration import declaration
from ml_assets.core.policies import Gate, require
from ml_assets.core.target import (
    Bools,
    Floats,
    Label,
    Measured,
    Metric,
    Scale,
    Target,
    Whole,
    refused,
)
from ml_assets.targets.conformal import reach
from ml_assets.targets.metrics.number import MeasuredNumber

LARGEST = 1e15
"""In size; beyond it, squared losses of many rows lose their meaning."""
SMALLEST_SLICE = 10
"""Fewer rows say nothing about a model."""
MOST_KEPT_BACK = 2_000
"""Rows that an interval is learnt from: its coverage is then sure to less than 1%."""
METRICS = {
    "squared_error": Metric(higher=False),
    "rmse": Metric(higher=False, root_of="squared_error"),
    "mae": Metric(higher=False),
    "r2": Metric(higher=True, lowest=-np.inf, highest=1),
    "bias": Metric(higher=False, lowest=-np.inf, best=0.0),
    "within_tolerance": Metric(higher=True, highest=1),
}


@declaration
class Number(Target):
    """Labels are finite numbers; a model answers with their expectation.

    unit: of labels, answers and of the root mean squared error: "min", "EUR"
    minimum, maximum: what a label can be, inclusive; answers are clipped to it
    tolerance: a decision is right if it is no further than this from the label, in `unit`; of
        relative errors, if neither is more than this share above the other: 0.2
    errors: "relative" if errors count in proportion, as of quantities of any size: a model learns
        log(1 + label), a row's loss is the squared difference of logarithms, the answer is near the
        median, and an interval reaches as far as a share of the answer. Labels are then at least 0
    interval: the share of labels that shall lie between two more numbers of the answer, `lower`
        and `upper`; they reach as far as the model's errors on rows that it was not fitted to.
        None for no interval
    """

    name: str
    unit: str
    minimum: float = -LARGEST
    maximum: float = LARGEST
    tolerance: float
    interval: float | None = None
    errors: Literal["absolute", "relative"] = "absolute"

    kind: ClassVar[str] = "number"
    lake_type: ClassVar = "double"
    loss: ClassVar[str] = "mse_loss"
    variety: ClassVar[str] = "at least two different ones"
    model_type: ClassVar = "regressor"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.unit), self, "unit", self.unit, "what it is counted in: 'EUR', 'min'")
        require(-LARGEST <= self.minimum < self.maximum <= LARGEST, self, "maximum", self.maximum,
                f"more than minimum, {self.minimum:g}; both within {LARGEST:g} of 0")
        require(isfinite(self.tolerance) and self.tolerance > 0, self, "tolerance",
                self.tolerance, f"a positive number of {self.unit}")
        require(self.interval is None or 0 < self.interval < 1, self, "interval", self.interval,
                "none, or a share in (0, 1)")
        require(self.errors == "absolute" or self.minimum >= 0, self, "minimum", self.minimum,
                "at least 0: errors are relative")

    @property
    def _is_relative(self) -> bool:
        return self.errors == "relative"

    def _measured_as(self, values: Floats) -> Floats:
        """As errors are measured, and as a network learns them."""
        measured: Floats = np.log1p(values) if self._is_relative else values
        return measured

    def _turned_back(self, measured: Floats) -> Floats:
        """The inverse, within what a label can be."""
        if self._is_relative:
            measured = np.expm1(np.minimum(measured, np.log1p(self.maximum)))
        return np.clip(measured, self.minimum, self.maximum)

    @property
    def metrics(self) -> dict[str, Metric]:
        own = {"squared_log_error": Metric(higher=False), **METRICS} if (
            self._is_relative) else METRICS
        if self.interval is None:
            return own
        return {**own, "coverage": Metric(higher=True, highest=1, best=self.interval),
                "width": Metric(higher=False)}

    @property
    def shown(self) -> tuple[str, ...]:
        shown = ("rmse", "mae", "r2", "within_tolerance")
        return shown if self.interval is None else (*shown, "coverage")

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.minimum, "maximum": self.maximum,
                "description": f"in {self.unit}"}

    def label(self, value: object) -> Label:
        is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if is_number and self.minimum <= value <= self.maximum:  # type: ignore[operator]
            return float(value)  # type: ignore[arg-type]
        raise refused(self, value,
                      f"a number from {self.minimum:g} to {self.maximum:g} {self.unit}")

    def label_of(self, code: float) -> Label:
        return float(code)

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("value",) if self.interval is None else ("value", "lower", "upper")

    @property
    def logits(self) -> int:
        return 1

    def scale(self, codes_N: Floats) -> Scale:
        measured_N = self._measured_as(codes_N)
        deviation = float(measured_N.std())
        return Scale(mean=float(measured_N.mean()), deviation=deviation if deviation > 0 else 1.0)

    def wanted(self, codes_N: Floats, scale: Scale) -> Floats:
        return super().wanted(self._measured_as(codes_N), scale)

    def apart(self, outputs_NW: Floats, others_NW: Floats, scale: Scale) -> Floats:
        return super().apart(self._measured_as(outputs_NW), self._measured_as(others_NW), scale)

    def link(self, logits_NK: Floats, scale: Scale) -> Floats:
        measured_N1: Floats = logits_NK * scale.deviation + scale.mean
        if self.interval is None:
            return self._turned_back(measured_N1)
        # An interval lies around the answer, which is within what a label can be.
        answer_N1 = self._measured_as(self._turned_back(measured_N1))
        return self._turned_back(answer_N1 + np.array([0.0, -scale.below, scale.above]))

    def kept_back(self, rows: int) -> int:
        return 0 if self.interval is None else min(rows // 5, MOST_KEPT_BACK)

    def calibrated(self, scale: Scale, codes_N: Floats, outputs_NW: Floats) -> Scale:
        if self.interval is None:
            return scale
        residuals_N = self._measured_as(codes_N) - self._measured_as(outputs_NW[:, 0])
        below, above = reach(residuals_N, self.interval)
        low, high = self._measured_as(np.array([self.minimum, self.maximum]))
        widest = float(high - low)
        return replace(scale, below=min(below, widest), above=min(above, widest))

    def check(self, outputs_NW: Floats) -> Bools:
        within_NW = (outputs_NW >= self.minimum) & (outputs_NW <= self.maximum)
        ordered_NW = (outputs_NW[:, 1:2] <= outputs_NW[:, :1]) & (
            outputs_NW[:, :1] <= outputs_NW[:, 2:])
        sound_N: Bools = np.all(within_NW, axis=1) & np.all(ordered_NW, axis=1)
        return sound_N

    def decide(self, outputs_NW: Floats) -> Floats:
        return outputs_NW[:, 0]

    @property
    def score_schema(self) -> dict[str, Any]:
        return self.schema

    def answer(self, outputs_W: Sequence[float]) -> dict[str, object]:
        if self.interval is None:
            return {}
        _, lower, upper = outputs_W if len(outputs_W) == 3 else (*outputs_W, None, None)
        return {"lower": lower, "upper": upper}

    @property
    def answer_schema(self) -> dict[str, Any]:
        if self.interval is None:
            return {}
        bound = {"type": ["number", "null"], "minimum": self.minimum, "maximum": self.maximum}
        says = (f"of the interval that holds {self.interval:.10g} of all labels, in {self.unit}; "
                "null if it was answered before there was one")
        return {"lower": {**bound, "description": f"The lower end {says}."},
                "upper": {**bound, "description": f"The upper end {says}."}}

    @property
    def gates(self) -> tuple[Gate, ...]:
        return (Gate(metric="r2", at_least=0.0), *super().gates)

    def losses(self, codes_N: Floats, outputs_NW: Floats) -> Floats:
        """Squared error, in the square of `unit`; of relative errors, that of logarithms."""
        return (self._measured_as(codes_N) - self._measured_as(outputs_NW[:, 0])) ** 2

    def right(self, codes_N: Floats, decisions_N: Floats) -> Bools:
        if self._is_relative:
            reach_N = np.maximum(codes_N, decisions_N) - np.minimum(codes_N, decisions_N)
            return reach_N <= self.tolerance * np.minimum(codes_N, decisions_N)
        return np.abs(codes_N - decisions_N) <= self.tolerance

    def rates(self, codes_N: Floats, decisions_N: Floats) -> dict[str, tuple[int, int]]:
        return {"too_high": (int((decisions_N > codes_N).sum()), len(codes_N))}

    def measured(self, codes_N: Floats, outputs_NW: Floats, subjects: Subjects) -> Measured:
        within_N = self.right(codes_N, self.decide(outputs_NW))
        return MeasuredNumber(
            codes_N, outputs_NW[:, 0], within_N, outputs_NW[:, 1:],
            {self.currency: self.losses(codes_N, outputs_NW)} if self._is_relative else {})

    def figures(
        self, codes_N: Floats, models: Mapping[str, Floats], title: str, subjects: Subjects
    ) -> dict[str, bytes]:
        from ml_assets.targets.plots import drawing
        from ml_assets.targets.plots import number as plots

        panels = plots.panels(
            codes_N, models, unit=self.unit, tolerance=self.tolerance, interval=self.interval)
        return drawing.pictures(panels, title)

    def described(self, codes_N: Floats) -> str:
        if not len(codes_N):
            return "0 rows"
        return f"{len(codes_N)} rows, on average {codes_N.mean():.4g} {self.unit}"

    def enough(self, codes_N: Floats) -> bool:
        return len(codes_N) >= SMALLEST_SLICE and len(np.unique(codes_N)) > 1

    def constant(self, codes_N: Floats) -> Floats:
        mean = float(self._turned_back(self._measured_as(codes_N).mean()))
        if self.interval is None:
            return np.array([mean])
        tail = (1 - self.interval) / 2
        low, high = np.quantile(codes_N, [tail, 1 - tail])
        return np.array([mean, min(low, mean), max(high, mean)])

    def strata(self, codes_N: Floats) -> Whole:
        return np.zeros(len(codes_N), dtype=np.int64)

    def contrast(self, codes_N: Floats) -> Whole:
        """The lower and the upper half."""
        return (codes_N > np.median(codes_N)).astype(np.int64)
