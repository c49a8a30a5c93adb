"""A number of epochs that the latest rows have chosen, taken again with those rows."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import torch

from ml_assets.core.model.minibatch import Minibatch
from ml_assets.core.runtime.workers import WorkerPool
from ml_assets.training.loop.blocks import BlockSource
from ml_assets.training.loop.checkpoints import CHOOSING
from ml_assets.training.loop.history import FitHistory
from ml_assets.training.loop.losses import Loss
from ml_assets.training.loop.progress import StepProgress, untold
from ml_assets.training.loop.train import train


def train_again(
    network: torch.nn.Module,
    fit: Minibatch,
    source: BlockSource,
    validation: BlockSource,
    every: BlockSource,
    *,
    loss: Loss,
    seed: int,
    folder: Path | None = None,
    data: str = "",
    progress: StepProgress = untold,
    workers: WorkerPool | None = None,
) -> FitHistory:
    """`train`, twice: `validation` chooses the number of epochs, then so many are taken of `every`
    row, from the first weights on.

    Both times a batch has as many rows. Each time has a checkpoint of its own: the first one's
    stays until `discard`, so a training that is killed takes no epoch again that it had ended.
    """
    begun = copy.deepcopy(network.state_dict())
    chosen = train(
        network, fit, source, validation, loss=loss, seed=seed, data=data, progress=progress,
        folder=None if folder is None else folder / CHOOSING, workers=workers)
    network.load_state_dict(begun)

    def told(epoch: int, step: int, steps: int, lost: float) -> None:
        progress(len(chosen.epochs) + epoch, step, steps, lost)

    again = train(
        network, again_with(fit, chosen.best, source), every, None, loss=loss, seed=seed,
        folder=folder, data=data, progress=told, workers=workers)
    return replace(chosen, again=again)


def again_with(fit: Minibatch, epochs: int, source: BlockSource) -> Minibatch:
    """What the second fit takes: all `epochs`, in batches of as many rows as those of `source`."""
    return replace(fit, batch=fit.batch_of(source.rows), epochs=epochs, validation=0)
