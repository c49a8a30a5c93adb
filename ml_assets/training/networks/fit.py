"""Fitting a network over named arrays, and exporting it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ml_assets.core.errors import DeclarationError
from ml_assets.core.model import FullBatch, Minibatch, Model
from ml_assets.core.runtime.workers import WorkerPool
from ml_assets.core.target import Target
from ml_assets.training.exported.export import Positional, export
from ml_assets.training.exported.scorer import OnnxScorer
from ml_assets.training.full_batch import minimise
from ml_assets.training.loop.blocks import RowBlock
from ml_assets.training.loop.losses import Loss, MeanLoss, loss_of
from ml_assets.training.loop.progress import StepProgress, untold
from ml_assets.training.loop.refitting import train_again
from ml_assets.training.loop.train import train
from ml_assets.training.loop.weighing import Weighing
from ml_assets.training.networks.building import tensors
from ml_assets.training.networks.preparing import prepared
from ml_assets.training.networks.shown import ShiftedIfShown, latest_of
from ml_assets.training.rows.encoding import RowEncoding
from ml_assets.training.rows.training_rows import TrainingRows
from ml_assets.training.scored import Before, Ended, Fitted, Floats, Outputs, Texts


def fit_network(
    model: Model, target: Target, rows: TrainingRows, *, before: Before | None = None,
    folder: Path | None = None, data: str = "", progress: StepProgress = untold,
    workers: WorkerPool | None = None,
) -> Fitted[OnnxScorer]:
    """See `ml_assets.training.fit.fit`."""
    made = prepared(model, target, rows, before)
    encoder, network, arrays = made.encoder, made.network, made.arrays
    encode = RowEncoding(
        encoder=encoder, read=tuple(arrays), target=target, scale=made.scale,
        weighing=Weighing.of(model.fit, target, rows.codes) if isinstance(model.fit, Minibatch)
        else None)
    if model.loss is not None:
        _require_plain(network, model.loss)
    loss = loss_of(network, MeanLoss(model.loss or target.loss))
    every, rows = rows, _after_remembering(network, rows, encode)
    fitted = network if rows.shown is None else ShiftedIfShown(network)
    if isinstance(model.fit, Minibatch):
        convergence: Ended = _in_batches(fitted, model.fit, rows, encode, loss, seed=model.seed,
                                         folder=folder, data=data, progress=progress,
                                         workers=workers)
    else:
        assert isinstance(model.fit, FullBatch)
        convergence = _at_once(fitted, model.fit, encode(rows.whole()), loss, progress=progress)
    network.eval()
    _remember(network, every, encode)
    scorer = OnnxScorer(
        target=target, scale=made.scale, encoder=encoder, network=export(network, arrays),
        parameters=sum(each.numel() for each in network.parameters()))
    plain = Positional(network, list(arrays))

    def logits(texts: Texts, dense: Floats) -> Outputs:
        """From the arrays that the scorer makes too."""
        found = encoder(texts, dense)
        with torch.inference_mode():
            logits_BK = plain(*(torch.from_numpy(found[name]) for name in arrays))
            return np.asarray(logits_BK.double().numpy())

    state = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    return Fitted(scorer=scorer, logits=logits, state=state, convergence=convergence,
                  began=made.began)


def _require_plain(network: nn.Module, loss: str) -> None:
    """Raise DeclarationError if the network has a method that leaves no room for `Model.loss`."""
    for name, why in (("loss", "it is one too"),
                      ("remember", "the rows that margins are calibrated on would be remembered")):
        if callable(getattr(network, name, None)):
            raise DeclarationError(f"Model.loss is {loss!r}, and {type(network).__name__} has a "
                                   f"method {name}: {why}. Declare loss=None, or leave it out")


def _after_remembering(
    network: nn.Module, rows: TrainingRows, encode: RowEncoding
) -> TrainingRows:
    """The rows that weights are fitted to: the later half, if the network has remembered the
    earlier. Of rows that it has seen, what it remembers would foretell too well.
    """
    if not callable(getattr(network, "remember", None)):
        return rows
    earlier, later = rows.divided(0.5)
    _remember(network, earlier, encode)
    return later


def _remember(network: nn.Module, rows: TrainingRows, encode: RowEncoding) -> None:
    """Call the network's own method `remember` with the arrays of rows, if it has one."""
    if callable(remember := getattr(network, "remember", None)):
        with torch.no_grad():
            remember(tensors(encode(replace(block, shown=None)).inputs) for block in rows.blocks())


def _in_batches(
    network: nn.Module, fit: Minibatch, rows: TrainingRows, encode: RowEncoding, loss: Loss, *,
    seed: int, folder: Path | None, data: str, progress: StepProgress, workers: WorkerPool | None,
) -> Ended:
    """The latest rows say which epoch was best."""
    early, late = latest_of(rows, fit.validation)
    source = early.source(encode, buffer=fit.buffer, shuffle=True)
    held = late.source(encode, buffer=fit.buffer, shuffle=False) if len(late) else None
    if held is None or not fit.refit:
        return train(network, fit, source, held, loss=loss, seed=seed, folder=folder, data=data,
                     progress=progress, workers=workers)
    return train_again(
        network, fit, source, held, rows.source(encode, buffer=fit.buffer, shuffle=True),
        loss=loss, seed=seed, folder=folder, data=data, progress=progress, workers=workers)


def _at_once(
    network: nn.Module, fit: FullBatch, rows: RowBlock, loss: Loss, *, progress: StepProgress
) -> Ended:
    inputs, wanted_B = tensors(rows.inputs), torch.from_numpy(rows.wanted)
    weights_B = None if rows.weights is None else torch.from_numpy(rows.weights)
    network.eval()  # L-BFGS needs the same loss for the same weights: nothing is left out at random
    return minimise(network, lambda: loss(network(**inputs), wanted_B, weights_B),
                    most_steps=fit.iterations, progress=progress)
