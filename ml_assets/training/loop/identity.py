"""What decides on the weights that a training comes to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict

import torch

from ml_assets.core.model.minibatch import Minibatch
from ml_assets.training.loop.blocks import BlockSource

CHANGES_NOTHING = ("checkpoint_s",)
"""The fields of a fit that its weights do not depend on."""


def identity_of(
    network: torch.nn.Module, fit: Minibatch, source: BlockSource,
    validation: BlockSource | None, *, seed: int, data: str, devices: Sequence[torch.device],
) -> str:
    """The same for two trainings if they come to the same weights: a hash.

    Of the network its structure and first weights count, of the rows their number and the name
    that `data` gives them.
    """
    declared = {name: value for name, value in asdict(fit).items() if name not in CHANGES_NOTHING}
    meaning = hashlib.sha256(json.dumps([
        declared, seed, data, source.rows, validation and validation.rows, str(network),
        torch.__version__, [str(device) for device in devices], torch.get_num_threads(),
    ], sort_keys=True, default=str).encode())
    for name, value in network.state_dict().items():
        meaning.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        plain = value.detach().cpu().contiguous()
        meaning.update(plain.view(torch.uint8).numpy() if plain.ndim
                       else repr(plain.item()).encode())
    return meaning.hexdigest()
