"""Fitting to all rows at once: deterministic for a seed, without a learning rate."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ml_assets.training.convergence import Convergence
from ml_assets.training.loop.progress import StepProgress

TOLERANCE = 1e-7
"""Fitting ends once a step changes the mean loss, or each parameter, by less than this. Of the
loss of a row, not of the sum: L-BFGS takes one tolerance for losses and for parameters, and one
that grew with the rows ended fits after two steps."""


def minimise(
    network: nn.Module, mean_loss: Callable[[], torch.Tensor], *, most_steps: int,
    progress: StepProgress,
) -> Convergence:
    """Let the network's parameters follow L-BFGS (Liu and Nocedal, 1989) to less of `mean_loss`.

    mean_loss: of the network as it is, a scalar
    """
    losses = list[float]()
    optimiser = torch.optim.LBFGS(
        network.parameters(), max_iter=most_steps, history_size=8,
        tolerance_change=TOLERANCE, line_search_fn="strong_wolfe",
    )

    def evaluate() -> torch.Tensor:
        optimiser.zero_grad()
        mean = mean_loss()
        mean.backward()  # type: ignore[no-untyped-call]
        losses.append(mean.item())
        progress(1, min(len(losses), most_steps), most_steps, losses[-1])
        return mean

    optimiser.step(evaluate)  # type: ignore[no-untyped-call]
    steps = int(optimiser.state[optimiser.param_groups[0]["params"][0]]["n_iter"])
    gradient = max(float(each.grad.abs().max()) for each in network.parameters()
                   if each.grad is not None and each.numel())
    return Convergence(losses=tuple(losses), steps=steps, most_steps=most_steps,
                       gradient=gradient)
