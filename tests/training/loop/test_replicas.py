"""Several devices take every step together: two processes on the CPU stand in for two GPUs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ml_assets.core.errors import TrainingFailed
from ml_assets.core.model.minibatch import Minibatch
from ml_assets.training.loop.blocks import InMemory
from ml_assets.training.loop.train import train
from tests.training.loop.made_up import AMOUNT, Delay, delays

FIT = Minibatch(batch=64, epochs=3, rate=0.05, device="cpu")


def trained(fit: Minibatch, folder: Path | None = None, *, spoil: float = 1) -> Delay:
    torch.manual_seed(1)
    network, block = Delay(), delays(1000)
    told: list[int] = []
    train(network, fit, InMemory(block=replace(block, wanted=block.wanted * spoil)),
          InMemory(block=delays(101, seed=2), shuffle=False), loss=AMOUNT, seed=1, folder=folder,
          progress=lambda epoch, *_: told.append(epoch))
    assert set(told) == {1, 2, 3}
    return network


@pytest.mark.slow
def test_two_devices_come_to_what_one_does_and_to_the_same_each_time(tmp_path: Path) -> None:
    """1000 rows leave a batch of 40, and the validation rows are odd in number."""
    alone = trained(FIT)
    two = [trained(replace(FIT, devices=2), folder) for folder in (None, tmp_path)]
    for name, value in alone.state_dict().items():
        torch.testing.assert_close(value, two[0].state_dict()[name], rtol=1e-4, atol=1e-5)
        assert torch.equal(two[0].state_dict()[name], two[1].state_dict()[name])


@pytest.mark.slow
def test_an_error_of_one_is_the_error_of_all() -> None:
    with pytest.raises(TrainingFailed, match=r"no number|finite"):
        trained(replace(FIT, devices=2), spoil=float("nan"))
