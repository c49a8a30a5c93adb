"""One training from a training set's file, in a process that is to be killed:
`python -m tests.training.rows.killed VAR`. Says on its output which step it has taken.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import torch

from ml_assets.core.model import Minibatch, Tabular, Text
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.features.training_sets.stored import TrainingSet
from ml_assets.registry.models import ModelRegistry
from ml_assets.training.loop import on_device
from ml_assets.training.loop.progress import StepProgress, untold
from ml_assets.training.run import Trained, train
from tests.made_sets import stored
from tests.tickets import TICKETS
from tests.training.registered import history_of

SYSTEM = replace(TICKETS, model=replace(
    TICKETS.model, network=Tabular(hidden=16, blocks=1, pieces=4),
    inputs=(*(each for each in TICKETS.model.inputs if not isinstance(each, Text)),
            Text("text", unit="words", length=8)),
    fit=Minibatch(batch=16, epochs=4, buffer=64, half_life=timedelta(days=2), checkpoint_s=1e-9)))
"""Its rows do not fit in the buffer, the earlier count less, and every step is stored."""


def set_of(system: System, *, group: int = 40) -> TrainingSet:
    """Its first rows, in a file of small row groups."""
    made = history_of(system)
    rows = made.rows.sort_values("event_timestamp", kind="stable", ignore_index=True)
    return replace(made, path=stored(rows, group=group))


def trained_in(var: Path, progress: StepProgress = untold) -> tuple[bytes, Trained]:
    """The registered network's weights, and what the training took."""
    registry = ModelRegistry(Settings(var=var))
    version, trained = train(SYSTEM, set_of(SYSTEM), registry, tags={}, progress=progress)
    folder = registry.folder(SYSTEM.name, version.version)
    return (folder / "network.safetensors").read_bytes(), trained


def _said(epoch: int, step: int, steps: int, loss: float) -> None:
    sys.stdout.write(f"step {epoch} {step}\n")
    sys.stdout.flush()
    time.sleep(0.05)


if __name__ == "__main__":
    on_device.TOLD_S = 0.0
    torch.set_num_threads(1)  # as in the tests: weights are the same for as many threads
    trained_in(Path(sys.argv[1]), _said)
