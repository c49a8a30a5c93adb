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
    """A loss by its name, as `Model.loss` or `Target.loss` has it: one of `OWN`, or else of
    `torch.nn.functional`.
    """

    name: str

    def __call__(
        self, logits: torch.Tensor, wanted_B: torch.Tensor, weights_B: torch.Tensor | None
    ) -> torch.Tensor:
        if logits.ndim == 2 and logits.shape[1] == 1:
            logits = logits.squeeze(1)
        of_rows = OWN[self.name] if self.name in OWN else getattr(functional, self.name)
        if weights_B is None:
            mean: torch.Tensor = of_rows(logits, wanted_B)
            return mean
        losses_B: torch.Tensor = of_rows(logits, wanted_B, reduction="none")
        # All rows may weigh nothing: then nothing is lost.
        smallest = torch.finfo(weights_B.dtype).tiny
        return (losses_B * weights_B).sum() / weights_B.sum().clamp_min(smallest)


def squared_hinge(
    logits_B: torch.Tensor, wanted_B: torch.Tensor, *, reduction: str = "mean"
) -> torch.Tensor:
    """The squared distance to the right side of a margin of 1; labels are 0 or 1.

    Source: Chapelle, "Training a Support Vector Machine in the Primal" (2007): with L2 penalties it
    is the L2-loss SVM, and smooth enough for L-BFGS.
    """
    losses_B = (1 - (2 * wanted_B - 1) * logits_B).clamp_min(0).square()
    return losses_B if reduction == "none" else losses_B.mean()


OWN: dict[str, Callable[..., torch.Tensor]] = {"squared_hinge": squared_hinge}


def loss_of(network: torch.nn.Module, otherwise: Loss) -> Loss:
    """The network's own method `loss(logits, wanted, weights)` if it has one."""
    own = getattr(network, "loss", None)
    return own if callable(own) else otherwise
