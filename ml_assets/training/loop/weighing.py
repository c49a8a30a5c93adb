"""How much each row of a training counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import NotReady
from ml_assets.core.model.minibatch import Minibatch
from ml_assets.core.target import Floats, Target

Weights32 = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Weighing:
    """Weights by label, as a fit declares them and a training set balances them.

    by_code: of these codes; by_stratum: of the target's strata, None if those do not matter.
    What is not in them counts 1.
    """

    target: Target
    by_code: tuple[tuple[float, float], ...] = ()
    by_stratum: tuple[tuple[int, float], ...] | None = None

    @classmethod
    def of(cls, fit: Minibatch, target: Target, codes_N: Floats) -> Weighing:
        """codes_N: of the rows that are fitted to.

        Balanced classes count `N / (classes * rows)` a row, as in scikit-learn: 1 on average.
        """
        if fit.class_weights == "balanced":
            strata, counts = np.unique(target.strata(codes_N), return_counts=True)
            each = len(codes_N) / (len(strata) * counts)
            return cls(target=target, by_stratum=tuple(
                zip(strata.tolist(), each.tolist(), strict=True)))
        if fit.class_weights == "equal":
            return cls(target=target)
        return cls(target=target, by_code=tuple(
            (target.code(target.label(label)), weight) for label, weight in fit.class_weights))

    def __call__(
        self, codes_B: Floats, column_B: npt.NDArray[Any] | None = None
    ) -> Weights32 | None:
        """(B,) of B rows, with their sample weights if there are; None if all count 1.

        Raises NotReady for a sample weight that is negative, infinite or missing.
        """
        if not self.by_code and self.by_stratum is None and column_B is None:
            return None
        weights_B = np.ones(len(codes_B), np.float32)
        for code, weight in self.by_code:
            weights_B[codes_B == code] = weight
        if self.by_stratum is not None:
            strata_B = self.target.strata(codes_B)
            for stratum, weight in self.by_stratum:
                weights_B[strata_B == stratum] = weight
        return weights_B if column_B is None else weights_B * _sound(column_B)


def _sound(column_B: npt.NDArray[Any]) -> Weights32:
    weights_B = column_B.astype(np.float32)
    wrong_B = ~(np.isfinite(weights_B) & (weights_B >= 0))
    if wrong_B.any():
        raise NotReady(f"a sample weight is {column_B[wrong_B][0]}; expected a number from 0 on. "
                       "Declare a minimum for its column, and that it is not optional")
    return weights_B
