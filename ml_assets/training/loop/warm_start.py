"""Weights to begin with that are not drawn."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ml_assets.core.errors import ModelRefused
from ml_assets.training.loop.blocks import Array


def start_from(
    network: torch.nn.Module, weights: Mapping[str, torch.Tensor | Array], *, matching: bool
) -> tuple[str, ...]:
    """Give a network these weights; returns the names of its tensors that stay as they were.

    Raises ModelRefused, naming the tensors, if one is missing, of another shape or too many.
    matching: takes those of the same name and shape, and refuses only if there are none
    """
    own = network.state_dict()
    given = {name: torch.as_tensor(values) for name, values in weights.items()}
    fitting = [name for name in own if name in given and given[name].shape == own[name].shape]
    faults = [_fault(name, own, given) for name in sorted({*own, *given} - set(fitting))]
    if faults and not (matching and fitting):
        hint = "No tensor fits" if matching else "Take those that are matching, or none"
        raise ModelRefused(f"the network cannot start from these weights: {'; '.join(faults)}. "
                           f"{hint}")
    network.load_state_dict({**own, **{name: given[name] for name in fitting}})
    return tuple(name for name in own if name not in fitting)


def _fault(
    name: str, own: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor]
) -> str:
    if name not in given:
        return f"{name!r} is missing, {tuple(own[name].shape)} here"
    if name not in own:
        return f"{name!r} is unknown here"
    return f"{name!r} is {tuple(given[name].shape)}, {tuple(own[name].shape)} here"
