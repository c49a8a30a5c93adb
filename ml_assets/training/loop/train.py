"""A network, rows in mini-batches, and what comes of them."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import torch

from ml_assets.core.model.minibatch import Minibatch
from ml_assets.core.runtime.workers import WorkerPool
from ml_assets.training.loop.blocks import BlockSource
from ml_assets.training.loop.checkpoints import Checkpoints
from ml_assets.training.loop.devices import devices_of, repeatable
from ml_assets.training.loop.history import FitHistory
from ml_assets.training.loop.identity import identity_of
from ml_assets.training.loop.losses import Loss
from ml_assets.training.loop.on_device import OnDevice
from ml_assets.training.loop.progress import StepProgress, untold
from ml_assets.training.loop.several.on_cluster import devices_on, on_cluster
from ml_assets.training.loop.several.replicas import on_several


def train(
    network: torch.nn.Module,
    fit: Minibatch,
    source: BlockSource,
    validation: BlockSource | None,
    *,
    loss: Loss,
    seed: int,
    folder: Path | None = None,
    data: str = "",
    progress: StepProgress = untold,
    workers: WorkerPool | None = None,
) -> FitHistory:
    """Fit `network`, called as `network(**inputs)`, in place; it is left in evaluation mode.

    Its weights are then those of the epoch with the smallest loss on `validation`; without
    `validation`, the last. The same arguments, weights to begin with, threads and kind of device
    give the same weights, to the bit.

    validation: rows that are later than those of `source`; always in the same order
    loss: the weighted mean of rows' losses; a network with a method `loss` has its own
    folder: of checkpoints. If the process is killed, the same call in another one resumes and
        comes to the same weights. None for no checkpoints
    data: names the rows: with other rows a checkpoint is of no use
    workers: of a cluster that sees `folder` too: several devices are then theirs

    Raises NotReady if the devices are not there or another process trains in `folder`,
    TrainingFailed if the loss becomes infinite or no number before there are weights to keep.
    """
    cluster = workers if folder is not None and fit.devices > 1 else None
    devices = devices_of(fit) if cluster is None else devices_on(cluster, fit.device, fit.devices)
    checkpoints = None if folder is None else Checkpoints(
        folder=folder,
        training=identity_of(network, fit, source, validation, seed=seed, data=data,
                             devices=devices),
    )
    with nullcontext() if checkpoints is None else checkpoints.alone():
        if cluster is not None and checkpoints is not None:
            return on_cluster(network, fit, source, validation, loss=loss, seed=seed,
                              devices=devices, checkpoints=checkpoints, progress=progress,
                              workers=cluster)
        if len(devices) > 1:
            return on_several(network, fit, source, validation, loss=loss, seed=seed,
                              devices=devices, checkpoints=checkpoints, progress=progress)
        with repeatable():
            here = OnDevice(network, fit, source, validation, loss=loss, seed=seed,
                            device=devices[0], checkpoints=checkpoints, progress=progress)
            return here.train()
