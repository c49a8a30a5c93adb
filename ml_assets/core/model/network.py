"""What all declarations of networks have in common."""

from __future__ import annotations

from typing import ClassVar

from ml_assets.core.model.full_batch import FullBatch
from ml_assets.core.model.inputs import Categories, Embedding, Input, Numbers, Sequence, Text
from ml_assets.core.model.minibatch import Minibatch

Fit = FullBatch | Minibatch


class Network:
    """Light: it names a network and its sizes. `ml_assets.training` makes it."""

    takes: ClassVar[tuple[type[Input], ...]] = (
        Text, Numbers, Categories, Sequence, Embedding)
    """The kinds of inputs that it can read."""
    fits: ClassVar[tuple[type[Fit], ...]] = (Minibatch, FullBatch)
    """How it can be fitted; the first is taken unless another is declared."""

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """(field, column) of the inputs that it knows by name."""
        return ()
