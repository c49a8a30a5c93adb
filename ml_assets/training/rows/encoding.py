"""Rows with labels as the training loop takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml_assets.core.target import Scale, Target
from ml_assets.training.encoding.encoder import Encoder
from ml_assets.training.loop.blocks import RowBlock
from ml_assets.training.loop.weighing import Weighing
from ml_assets.training.rows.labelled import LabelledRows
from ml_assets.training.wanted import wanted_of

SHOWN = "rows that were shown"
"""The name of an array (B,) beside those that the network itself is called with; no column has
spaces."""


@dataclass(frozen=True, kw_only=True)
class RowEncoding:
    """A pure function of each row.

    read: the arrays that the network is called with
    weighing: of labels; None if all labels count the same
    """

    encoder: Encoder
    read: tuple[str, ...]
    target: Target
    scale: Scale
    weighing: Weighing | None = None

    def __call__(self, rows: LabelledRows) -> RowBlock:
        arrays = self.encoder(rows.texts, rows.dense)
        inputs = {name: arrays[name] for name in self.read}
        if rows.shown is not None:
            inputs[SHOWN] = rows.shown.astype(np.float32)
        return RowBlock(
            inputs=inputs, wanted=wanted_of(self.target, rows.codes, self.scale).numpy(),
            weights=rows.weights if self.weighing is None
            else self.weighing(rows.codes, rows.weights))
