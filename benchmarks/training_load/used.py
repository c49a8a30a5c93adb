"""What a training took, as the process itself knows it."""

from __future__ import annotations

import hashlib
import json
import resource
import sys
from collections.abc import Sequence
from time import perf_counter, process_time

import torch


class Used:
    """From its making on: what torch imports at a first step is paid before. One thread, so that
    none spins for another.
    """

    def __init__(self) -> None:
        torch.set_num_threads(1)
        _first_step()
        self.cpu, self.wall = process_time(), perf_counter()

    def say(self, *, losses: Sequence[float], weights: str) -> None:
        """As JSON on standard output: CPU and wall seconds, peak memory, losses, a digest of the
        weights.
        """
        sys.stdout.write(json.dumps({
            "cpu_s": process_time() - self.cpu, "wall_s": perf_counter() - self.wall,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "losses": list(losses), "weights": weights,
        }) + "\n")


def digest(network: torch.nn.Module) -> str:
    """Of the bits of its weights."""
    bits = hashlib.sha256()
    for value in network.state_dict().values():
        bits.update(value.numpy().tobytes())
    return bits.hexdigest()


def _first_step() -> None:
    line = torch.nn.Linear(1, 1)
    optimiser = torch.optim.AdamW(line.parameters())
    line(torch.ones(1, 1)).backward()
    torch.nn.utils.clip_grad_norm_(line.parameters(), 1.0)
    optimiser.step()
