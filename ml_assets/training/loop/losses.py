"""What a training minimises: the weighted mean of the rows' losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]
"""Of logits (B, K) or (B,), what was wanted (B,) and weights (B,) or None: the weighted mean of B
rows' losses, a scalar."""


@dataclass(frozen=True)
class MeanLoss:
    """A loss of `torch.nn.functional` by its name, as `Target.loss` has it."""

    name: str

    def __call__(
        self, logits: torch.Tensor, wanted_B: torch.Tensor, weights_B: torch.Tensor | None
    ) -> torch.Tensor:
        if logits.ndim == 2 and logits.shape[1] == 1:
            logits = logits.squeeze(1)
        of_rows = getattr(functional, self.name)
        if weights_B is None:
            mean: torch.Tensor = of_rows(logits, wanted_B)
            return mean
        losses_B: torch.Tensor = of_rows(logits, wanted_B, reduction="none")
        # All rows may weigh nothing: then nothing is lost.
        smallest = torch.finfo(weights_B.dtype).tiny
        return (losses_B * weights_B).sum() / weights_B.sum().clamp_min(smallest)


def loss_of(network: torch.nn.Module, otherwise: Loss) -> Loss:
    """The network's own method `loss(logits, wanted, weights)` if it has one."""
    own = getattr(network, "loss", None)
    return own if callable(own) else otherwise
