"""A linear model of hashed texts beside a small network of numbers and categories."""

from __future__ import annotations

from typing import ClassVar

from ml_assets.core.declaration import declaration
from ml_assets.core.model.full_batch import FullBatch
from ml_assets.core.model.inputs import Categories, Input, Numbers, Text
from ml_assets.core.model.network import Fit, Network
from ml_assets.core.policies import require


@declaration
class HashedText(Network):
    """One weight for each hashed n-gram of a text; one hidden layer over all else.

    Without texts it is a small tabular network, fitted in seconds.

    buckets: hash values of each text, a power of two
    pieces: into how many each number's range is cut, so that the model finds thresholds and
        peaks; 0 leaves numbers smooth
    hidden: units of the hidden layer; without, the model is linear
    l2_text, l2_dense: the penalties on half the squared weights, added to the loss summed over
        rows
    """

    buckets: int = 2**18
    pieces: int = 8
    hidden: int = 16
    l2_text: float = 0.05
    l2_dense: float = 10.0

    takes: ClassVar[tuple[type[Input], ...]] = (Text, Numbers, Categories)
    fits: ClassVar[tuple[type[Fit], ...]] = (FullBatch,)

    def __post_init__(self) -> None:
        require(self.buckets >= 1 and self.buckets & (self.buckets - 1) == 0, self, "buckets",
                self.buckets, "a power of two")
        for name in ("pieces", "hidden", "l2_text", "l2_dense"):
            require(getattr(self, name) >= 0, self, name, getattr(self, name), "at least 0")
