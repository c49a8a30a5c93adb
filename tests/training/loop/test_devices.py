"""No path of the loop assumes the CPU.

There is no accelerator where these tests run. The device `meta` stands in for one: it computes
nothing, but refuses, as a GPU does, to mix with tensors of another device or to give a number.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from ml_assets.core.model.minibatch import Minibatch
from ml_assets.training.loop.blocks import InMemory
from ml_assets.training.loop.devices import repeatable, tensors
from ml_assets.training.loop.on_device import OnDevice
from tests.training.loop.made_up import AMOUNT, YES_OR_NO, Delay, a_network, delays, returned

META = torch.device("meta")


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_steps_are_taken_wherever_the_network_is(optimiser: str) -> None:
    fit = Minibatch(batch=50, epochs=1, optimiser=optimiser)  # type: ignore[arg-type]
    for network, block, loss in ((a_network(), returned(100), YES_OR_NO),
                                 (Delay(), delays(100), AMOUNT)):
        here = OnDevice(network.to(META), fit, InMemory(block=block), None, loss=loss, seed=1,
                        device=META, checkpoints=None, progress=lambda *_: None)
        for _ in range(3):
            here._step(block)
        assert here.lost.device == META
        assert all(each.grad is not None and each.grad.device == META for each in here.parameters)


def test_a_step_that_asks_for_a_number_would_be_seen() -> None:
    """Else the test above holds nothing."""
    with pytest.raises(RuntimeError, match="meta"):
        torch.zeros((), device=META).item()


def test_a_block_is_moved_as_a_whole() -> None:
    block = returned(10)
    inputs, wanted, weights = tensors(block, META)
    assert {each.device for each in (*inputs.values(), wanted)} == {META} and weights is None


def test_arrays_that_may_not_be_written_become_tensors() -> None:
    block = delays(4)
    block.wanted.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, wanted, _ = tensors(block, torch.device("cpu"))
    assert np.array_equal(wanted.numpy(), block.wanted)


def test_torch_is_left_as_it_was() -> None:
    assert not torch.are_deterministic_algorithms_enabled()
    with repeatable():
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    filling: Any = torch.utils.deterministic
    assert filling.fill_uninitialized_memory
