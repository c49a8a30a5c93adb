"""One training in several processes, a device each.

Each reads the same rows in the same order and takes its part of every batch; gradients are added
up, so all processes take the same step. The first one saves and speaks.
"""

from __future__ import annotations

import copy
import queue
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.multiprocessing.spawn import ProcessException, start_processes

from ml_assets.core.errors import MlAssetsError, NotReady
from ml_assets.core.model.minibatch import Minibatch
from ml_assets.training.loop.blocks import BlockSource
from ml_assets.training.loop.checkpoints import Checkpoints
from ml_assets.training.loop.devices import repeatable
from ml_assets.training.loop.history import FitHistory
from ml_assets.training.loop.losses import Loss
from ml_assets.training.loop.on_device import OnDevice
from ml_assets.training.loop.progress import untold
from ml_assets.training.loop.several.sharing import Share

BACKENDS = {"cuda": "nccl", "cpu": "gloo"}
HEARD_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Together:
    """What each process is told."""

    network: torch.nn.Module
    fit: Minibatch
    source: BlockSource
    validation: BlockSource | None
    loss: Loss
    seed: int
    devices: Sequence[torch.device]
    checkpoints: Checkpoints
    meeting: Path
    threads: int


def on_several(
    network: torch.nn.Module,
    fit: Minibatch,
    source: BlockSource,
    validation: BlockSource | None,
    *,
    loss: Loss,
    seed: int,
    devices: Sequence[torch.device],
    checkpoints: Checkpoints | None,
    progress: Callable[[int, int, int, float], None],
) -> FitHistory:
    """`train`, in as many new processes as there are devices. They end with this one."""
    with tempfile.TemporaryDirectory() as temporary:
        kept = checkpoints or Checkpoints(folder=Path(temporary), training="")
        told = Together(
            network=network.cpu(), fit=fit, source=source, validation=validation, loss=loss,
            seed=seed, devices=devices, checkpoints=kept, meeting=Path(temporary) / "meeting",
            threads=max(1, torch.get_num_threads() // len(devices)),
        )
        words: Any = get_context("spawn").Queue()
        running = start_processes(  # type: ignore[no-untyped-call]
            _replica, args=(told, words), nprocs=len(devices), join=False, start_method="spawn")
        history = _heard(running, words, progress)
        if (found := kept.load()) is None:
            raise NotReady(f"the processes have left no checkpoint in {kept.folder}")
        network.load_state_dict(found.network)
        network.eval()
        return history


def _heard(running: Any, words: Any, progress: Callable[..., None]) -> FitHistory:
    """What the first process reports in the end. Raises the error of the process that failed."""
    history: FitHistory | None = None
    failed: Exception | None = None
    ended = False
    while not ended:
        try:
            ended = running.join(timeout=HEARD_S)
        except ProcessException as error:
            failed, ended = failed or error, True
        while (word := _next(words)) is not None:
            if isinstance(word, MlAssetsError):
                failed = word
            elif isinstance(word, FitHistory):
                history = word
            else:
                progress(*word)
    if failed is not None:
        raise failed
    assert history is not None, "the first process reports before it ends"
    return history


def _next(words: Any) -> Any:
    try:
        return words.get(timeout=HEARD_S)
    except queue.Empty:
        return None


def _replica(number: int, told: Together, words: Any) -> None:
    try:
        history = replica(number, told, lambda *said: words.put(said))
        if number == 0:
            words.put(history)
    except MlAssetsError as error:
        words.put(error)
        raise
    finally:
        words.close()
        words.join_thread()  # torch ends a failed process without waiting for what it says


def replica(number: int, told: Together, say: Callable[..., None]) -> FitHistory:
    """One process's part of a training. say: takes the first one's progress"""
    device = told.devices[number]
    if device.type == "cpu":
        torch.set_num_threads(told.threads)
    else:
        torch.cuda.set_device(device)
    distributed.init_process_group(
        BACKENDS[device.type], init_method=told.meeting.as_uri(), rank=number,
        world_size=len(told.devices))
    try:
        with repeatable():
            return OnDevice(
                # Tensors on the CPU arrive in memory that all processes share.
                copy.deepcopy(told.network), told.fit, told.source, told.validation,
                loss=told.loss, seed=told.seed, device=device,
                checkpoints=told.checkpoints, share=Share(
                    number=number, count=len(told.devices)),
                progress=say if number == 0 else untold,
            ).train()
    finally:
        distributed.destroy_process_group()
