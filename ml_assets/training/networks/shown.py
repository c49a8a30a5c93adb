"""Rows that were shown, beside rows that were put together."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from ml_assets.training.rows.encoding import SHOWN
from ml_assets.training.rows.training_rows import TrainingRows

QUICK = 10.0
"""So many steps of an optimiser the shift takes at once: it has far to go, and little time."""


class ShiftedIfShown(nn.Module):
    """A network whose logits are lower (or higher) by one learnt number for rows that were shown.

    Recorded slates hold what was taken beside a few others that were drawn, so of all that was
    not taken little is there; slates that were shown hold all. Who samples one label more densely
    than the other moves all logits by the same number (King and Zeng, "Logistic Regression in
    Rare Events Data", Political Analysis 9, 2001). Left to the network, the difference looks like
    a fault of those items that are shown, which are the best ones.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, *arguments: Any, **arrays: torch.Tensor) -> torch.Tensor:
        shift_B = QUICK * self.shift * arrays.pop(SHOWN)
        logits: torch.Tensor = self.network(*arguments, **arrays)
        return logits + (shift_B if logits.ndim == 1 else shift_B[:, None])


def latest_of(rows: TrainingRows, share: float) -> tuple[TrainingRows, TrainingRows]:
    """As `rows.divided(share)`, but where there are two kinds of rows the later ones are the latest
    `share` of each, and all between them count nothing. Of one kind alone they could not say how
    well the other one is learnt: at first no pages are among the earlier rows, and soon nothing but
    pages would be among the later ones.
    """
    if rows.shown is None:
        return rows.divided(share)
    begin = int(rows.shown.argmax())
    first = len(rows.part(0, begin).divided(share)[0])
    last = begin + len(rows.part(begin, len(rows)).divided(share)[0])
    late_N = np.zeros(len(rows), np.bool_)
    late_N[first:begin] = late_N[last:] = True
    return rows.counting(~late_N).part(0, last), rows.counting(late_N).part(first, len(rows))


def without_shift(rows: TrainingRows) -> TrainingRows:
    """The same rows, of which those that were shown count nothing: of them a model that is served,
    which has no shift, says too much. All count if there are no others.
    """
    if rows.shown is None or rows.weights is None:
        return rows
    others_N = ~rows.shown
    return rows.counting(others_N) if rows.weights[others_N].any() else rows
