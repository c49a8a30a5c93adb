"""Weights to begin with that are not drawn."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch

from ml_assets.core.errors import ModelRefused
from ml_assets.training.loop.blocks import Array

Given = Mapping[str, torch.Tensor | Array]


def start_from(
    network: torch.nn.Module, weights: Given, *, grown: Collection[tuple[int, int]] = ()
) -> None:
    """Give a network these weights.

    grown: tables that had so many rows and now have so many: of such a tensor the new rows stay
        as they were
    Raises ModelRefused, naming the tensors, if one is missing, of another shape or too many; the
    network is then as it was.
    """
    own = network.state_dict()
    given = {name: torch.as_tensor(values) for name, values in weights.items()}
    faults = [fault for name in sorted({*own, *given})
              if (fault := _fault(name, own, given, grown)) is not None]
    if faults:
        raise ModelRefused(f"the network cannot start from these weights: {'; '.join(faults)}")
    network.load_state_dict({name: torch.cat([given[name], fresh[len(given[name]):]])
                             if fresh.ndim else given[name] for name, fresh in own.items()})


def _fault(
    name: str, own: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor],
    grown: Collection[tuple[int, int]],
) -> str | None:
    if name not in given:
        return f"{name!r} is missing, {tuple(own[name].shape)} here"
    if name not in own:
        return f"{name!r} is unknown here"
    before, now = tuple(given[name].shape), tuple(own[name].shape)
    if before == now or (before[1:] == now[1:] and (before[0], now[0]) in grown):
        return None
    return f"{name!r} is {before}, {now} here"
