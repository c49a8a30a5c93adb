"""The same training with its processes on the workers of a cluster."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ml_assets.core.errors import NotReady, WorkersLost
from ml_assets.core.model.minibatch import Minibatch
from ml_assets.core.runtime.workers import WorkerPool
from ml_assets.training.loop.blocks import BlockSource
from ml_assets.training.loop.checkpoints import Checkpoints
from ml_assets.training.loop.history import FitHistory
from ml_assets.training.loop.losses import Loss
from ml_assets.training.loop.several.replicas import Together, replica

RESTARTS = 3
"""How often a training goes on from its checkpoint after it has lost a worker."""
log = logging.getLogger(__name__)


@dataclass
class Words:
    """Progress, a line of a file each: written by one process, read by another."""

    path: Path
    read: int = 0

    def say(self, *said: float) -> None:
        with self.path.open("a") as file:
            file.write(f"{json.dumps(said)}\n")

    def heard(self) -> list[list[float]]:
        """What is new."""
        if not self.path.exists():
            return []
        with self.path.open() as file:
            file.seek(self.read)
            text = file.read()
        whole = text[: text.rfind("\n") + 1]
        self.read += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


def on_cluster(
    network: torch.nn.Module,
    fit: Minibatch,
    source: BlockSource,
    validation: BlockSource | None,
    *,
    loss: Loss,
    seed: int,
    devices: Sequence[torch.device],
    checkpoints: Checkpoints,
    progress: Callable[[int, int, int, float], None],
    workers: WorkerPool,
) -> FitHistory:
    """`on_several`, on workers that share the folder of the checkpoints.

    The bits are those of as many processes of one thread on one machine: the same parts of each
    batch, added up in the same order. If a worker is lost, all begin again at the last checkpoint.
    Raises NotReady if there are not so many workers, WorkersLost after `RESTARTS`.
    """
    folder, gpus = checkpoints.folder, devices[0].type == "cuda"
    told = Together(
        network=network.cpu(), fit=fit, source=source, validation=validation, loss=loss, seed=seed,
        devices=devices, checkpoints=checkpoints, meeting=folder, threads=1)
    for left in reversed(range(RESTARTS + 1)):
        # A meeting that was left midway cannot be joined again.
        with TemporaryDirectory(dir=folder, prefix="meeting-") as place:
            words = Words(Path(place) / "words")

            def tell(words: Words = words) -> None:
                for epoch, step, steps, lost in words.heard():
                    progress(int(epoch), int(step), int(steps), lost)

            try:
                histories = workers.together(
                    _on_worker, replace(told, meeting=Path(place) / "meeting"), len(told.devices),
                    gpus=gpus, waiting=tell)
                tell()
                break
            except WorkersLost as error:
                if not left:
                    raise
                log.warning("%s. The training goes on from its last checkpoint", error)
    if (found := checkpoints.load()) is None:
        raise NotReady(f"the workers have left no checkpoint in {folder}: is it a folder that all "
                       "of them share?")
    network.load_state_dict(found.network)
    network.eval()
    return histories[0]


def devices_on(workers: WorkerPool, kind: str, count: int) -> tuple[torch.device, ...]:
    """Those of `count` workers. Each sees one GPU, if `kind` asks for one or there are as many."""
    on_gpus = kind == "cuda" or (kind == "auto" and workers.gpus >= count)
    return (torch.device("cuda", 0) if on_gpus else torch.device("cpu"),) * count


def _on_worker(told: Together, number: int) -> FitHistory:
    return replica(number, told, Words(told.meeting.parent / "words").say)
