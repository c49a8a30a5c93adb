"""From a declared network to a module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ml_assets.core.errors import DeclarationError
from ml_assets.core.model import Network, NextItem, SequenceRanker, Tabular, Torch, TwoTower
from ml_assets.training.encoding.shapes import Shapes
from ml_assets.training.networks.next_item import NextItemNetwork
from ml_assets.training.networks.own import own_network, read_by
from ml_assets.training.networks.sequence_ranker import SequenceRankerNetwork
from ml_assets.training.networks.tabular import TabularNetwork
from ml_assets.training.networks.two_tower import TwoTowerNetwork

Arrays = Mapping[str, npt.NDArray[Any]]
MAKERS: dict[type[Network], Callable[[Any, Shapes], nn.Module]] = {
    Tabular: TabularNetwork, TwoTower: TwoTowerNetwork, SequenceRanker: SequenceRankerNetwork,
    NextItem: NextItemNetwork, Torch: own_network,
}


def build(declared: Network, shapes: Shapes, arrays: Arrays, *, seed: int) -> nn.Module:
    """The module, its first weights drawn from the seed, tried on two of the rows.

    arrays: of all rows, from which it may learn what no optimiser does
    Raises DeclarationError if nothing comes in, or if its logits are not of the target's shape.
    """
    if not shapes.names:
        raise DeclarationError("the model has no inputs: declare some, or features")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = MAKERS[type(declared)](declared, shapes)
        if callable(learn := getattr(network, "learn", None)):
            with torch.no_grad():
                learn(tensors(arrays))
        # Lazy layers draw their weights here.
        _try(network, declared, shapes, reading(network, shapes, arrays))
    return network


def reading(network: nn.Module, shapes: Shapes, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
    """Those arrays that the network is called with."""
    return {name: arrays[name] for name in read_by(network, shapes)}


def tensors(arrays: Arrays) -> dict[str, torch.Tensor]:
    """The same numbers, not copied."""
    return {name: torch.from_numpy(values) for name, values in arrays.items()}


def _try(network: nn.Module, declared: Network, shapes: Shapes, arrays: Arrays) -> None:
    few = {name: np.concatenate([values[:1]] * 2) for name, values in arrays.items()}
    network.eval()
    with torch.no_grad():
        logits = network(**tensors(few))
    network.train()
    wanted = [(2, shapes.logits)] + ([(2,)] if shapes.logits == 1 else [])
    found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if found not in wanted:
        raise DeclarationError(
            f"{type(network).__name__}, made of {declared}, gives {found} for 2 rows; expected "
            f"{' or '.join(map(str, wanted))}: {shapes.logits} logit(s) of each row")
