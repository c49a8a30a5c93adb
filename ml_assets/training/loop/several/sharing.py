"""Several processes, a device each, that take every step together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import distributed

from ml_assets.training.loop.blocks import RowBlock


@dataclass(frozen=True, kw_only=True)
class Share:
    """The part of a process: `number` of `count`. One alone has all, and nobody to talk to."""

    number: int = 0
    count: int = 1

    def rows(self, batch: RowBlock) -> RowBlock:
        """Those of a batch that fall to this process, neighbours; perhaps none."""
        if self.count == 1:
            return batch
        size = len(batch)
        return batch.take(slice(size * self.number // self.count,
                                size * (self.number + 1) // self.count))

    def add_up(
        self, parameters: Sequence[torch.nn.Parameter], lost: torch.Tensor
    ) -> torch.Tensor:
        """Give each process the sum of all processes' gradients; returns that of `lost`."""
        if self.count == 1:
            return lost
        gradients = [torch.zeros_like(each) if each.grad is None else each.grad
                     for each in parameters]
        flat = torch.cat([*(each.reshape(-1) for each in gradients), lost.reshape(1)])
        distributed.all_reduce(flat)
        start = 0
        for each in parameters:
            summed = flat[start:start + each.numel()]
            each.grad = summed.view_as(each).to(each.dtype)
            start += each.numel()
        return flat[start]

    def total(self, value: torch.Tensor) -> torch.Tensor:
        """The sum of all processes' values."""
        if self.count > 1:
            distributed.all_reduce(value)
        return value

    def agree(self, network: torch.nn.Module) -> None:
        """Every process gets the buffers of the first: each has met other rows."""
        if self.count > 1:
            for buffer in network.buffers():
                distributed.broadcast(buffer, src=0)
