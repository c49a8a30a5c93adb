"""How fast a network learns at each step."""

from __future__ import annotations

import math

from ml_assets.core.model.minibatch import Minibatch


def rate_at(fit: Minibatch, step: int, *, steps: int, epochs: int) -> float:
    """The learning rate of a step, from 0 on, of a training of `epochs` with `steps` each.

    A function of the number alone: a training that resumes has nothing to remember of it.
    """
    total = steps * epochs
    rising = round(fit.warmup * total)
    if step < rising:
        return fit.rate * (step + 1) / rising
    if fit.schedule == "constant":
        return fit.rate
    if fit.schedule == "step":
        falls: int = step // steps // fit.decay_epochs
        return fit.rate * fit.decay**falls
    share = (step - rising) / max(1, total - rising)
    return fit.rate * (1 + math.cos(math.pi * share)) / 2
