"""What questions have in common whose labels are one of a few: true or false, a class."""

from __future__ import annotations

import numpy as np

from ml_assets.core.target import Bools, Floats, Target, Whole


class Discrete(Target):
    """Of such labels a decision is right or wrong, and each is a stratum of its own."""

    def right(self, codes_N: Floats, decisions_N: Floats) -> Bools:
        right_N: Bools = codes_N == decisions_N
        return right_N

    def strata(self, codes_N: Floats) -> Whole:
        return codes_N.astype(np.int64)

    def contrast(self, codes_N: Floats) -> Whole:
        return self.strata(codes_N)
