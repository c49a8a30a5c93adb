"""Where tensors are, and what makes a training repeatable there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils import deterministic

from ml_assets.core.errors import NotReady
from ml_assets.core.model.minibatch import Minibatch
from ml_assets.training.loop.blocks import Array, RowBlock

Tensors = tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor | None]
"""A block's inputs, what is wanted, weights."""


def devices_of(fit: Minibatch) -> tuple[torch.device, ...]:
    """Those that a declared fit runs on, on this machine.

    Raises NotReady if it has not got them.
    """
    there = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available()),
             "cpu": fit.devices}
    kind = fit.device
    if kind == "auto":
        kind = "cuda" if there["cuda"] else "mps" if there["mps"] and fit.devices == 1 else "cpu"
    if there[kind] < fit.devices:
        raise NotReady(
            f"Minibatch asks for {fit.devices} {kind}, and torch {torch.__version__} sees "
            f"{there[kind]} on this machine; declare device='auto' or fewer devices"
        )
    if kind == "cpu":
        return (torch.device("cpu"),) * fit.devices
    return tuple(torch.device(kind, number) for number in range(fit.devices))


def tensors(block: RowBlock, device: torch.device) -> Tensors:
    """A block on a device; on the CPU it shares the arrays' memory."""
    return (
        {name: _tensor(values, device) for name, values in block.inputs.items()},
        _tensor(block.wanted, device),
        None if block.weights is None else _tensor(block.weights, device),
    )


def _tensor(values: Array, device: torch.device) -> torch.Tensor:
    made = torch.from_numpy(np.require(values, requirements=("C", "W")))
    if device.type == "cuda":
        return made.pin_memory().to(device, non_blocking=True)
    return made.to(device)


@contextmanager
def repeatable() -> Iterator[None]:
    """Operations give the same bits each time; torch warns of one that cannot.

    What torch draws outside is as if nothing had been drawn inside.
    """
    filling: Any = deterministic
    before = torch.get_deterministic_debug_mode(), filling.fill_uninitialized_memory
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        _require_repeatable(1)
        filling.fill_uninitialized_memory = False  # it costs a pass over each new tensor
        try:
            yield
        finally:
            _require_repeatable(before[0])
            filling.fill_uninitialized_memory = before[1]


def _require_repeatable(mode: int) -> None:
    """mode: 0 no, 1 warn of an operation that is not, 2 refuse it"""
    if "torch._inductor" in sys.modules:
        torch.use_deterministic_algorithms(mode > 0, warn_only=mode == 1)
        return
    # That imports torch's compiler, which takes as long as torch itself and few networks use. One
    # that does finds the variable.
    os.environ.setdefault("TORCHINDUCTOR_DETERMINISTIC", "1")
    torch.set_deterministic_debug_mode(mode)


def draw_afresh(seed: int, step: int, part: int, device: torch.device) -> None:
    """What torch draws from here on (dropout, say) depends on these numbers alone."""
    number = ((seed * 1_000_003 + step) * 1_009 + part) & (2**63 - 1)
    # Not `torch.manual_seed`: without a GPU it takes a trace of the stack each time.
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.manual_seed(number)
    elif device.type == "mps":
        torch.mps.manual_seed(number)
