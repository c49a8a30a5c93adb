"""Fitting a network over named arrays, and exporting it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ml_assets.core.model import FullBatch, Minibatch, Model
from ml_assets.core.target import Target
from ml_assets.training.encoding.encoder import Encoder, Floats
from ml_assets.training.exported.export import Positional, export
from ml_assets.training.exported.scorer import OnnxScorer
from ml_assets.training.full_batch import minimise
from ml_assets.training.loop.blocks import InMemory, RowBlock
from ml_assets.training.loop.losses import Loss, MeanLoss, loss_of
from ml_assets.training.loop.progress import StepProgress, untold
from ml_assets.training.loop.train import train
from ml_assets.training.loop.weighing import Weighing
from ml_assets.training.networks.building import build, reading, tensors
from ml_assets.training.scored import Ended, Fitted, Outputs, Texts
from ml_assets.training.wanted import wanted_of

Arrays = Mapping[str, npt.NDArray[Any]]


def fit_network(
    model: Model,
    target: Target,
    texts: Mapping[str, Sequence[str]],
    dense: Floats,
    codes: npt.NDArray[np.float64],
    *,
    feature_names: Sequence[str],
    coded: Collection[str] = (),
    weights: Floats | None = None,
    folder: Path | None = None,
    data: str = "",
    progress: StepProgress = untold,
) -> Fitted[OnnxScorer]:
    """See `ml_assets.training.fit.fit`."""
    encoder = Encoder.fit(model, texts, dense, feature_names=feature_names, coded=coded)
    shapes, scale = encoder.shapes(target.logits), target.scale(codes)
    arrays = encoder(texts, dense)
    network = build(model.network, shapes, arrays, seed=model.seed)
    arrays = reading(network, shapes, arrays)
    if isinstance(model.fit, Minibatch):
        weights = Weighing.of(model.fit, target, codes)(codes, weights)
    rows = RowBlock(inputs=arrays, wanted=wanted_of(target, codes, scale).numpy(), weights=weights)
    loss = loss_of(network, MeanLoss(target.loss))
    if isinstance(model.fit, Minibatch):
        convergence: Ended = _in_batches(network, model.fit, rows, loss, seed=model.seed,
                                         folder=folder, data=data, progress=progress)
    else:
        assert isinstance(model.fit, FullBatch)
        convergence = _at_once(network, model.fit, rows, loss, progress=progress)
    network.eval()
    scorer = OnnxScorer(
        target=target, scale=scale, encoder=encoder, network=export(network, arrays),
        parameters=sum(each.numel() for each in network.parameters()))
    plain = Positional(network, list(arrays))

    def logits(texts: Texts, dense: Floats) -> Outputs:
        """From the arrays that the scorer makes too."""
        found = encoder(texts, dense)
        with torch.inference_mode():
            logits_BK = plain(*(torch.from_numpy(found[name]) for name in arrays))
            return np.asarray(logits_BK.double().numpy())

    state = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    return Fitted(scorer=scorer, logits=logits, state=state, convergence=convergence)


def _in_batches(
    network: nn.Module, fit: Minibatch, rows: RowBlock, loss: Loss, *, seed: int,
    folder: Path | None, data: str, progress: StepProgress,
) -> Ended:
    """The latest rows say which epoch was best."""
    last = len(rows) - int(len(rows) * fit.validation)
    held = InMemory(block=rows.take(slice(last, None)), shuffle=False)
    return train(
        network, fit, InMemory(block=rows.take(slice(last))), held if held.rows else None,
        loss=loss, seed=seed, folder=folder, data=data, progress=progress)


def _at_once(
    network: nn.Module, fit: FullBatch, rows: RowBlock, loss: Loss, *, progress: StepProgress
) -> Ended:
    inputs, wanted_B = tensors(rows.inputs), torch.from_numpy(rows.wanted)
    weights_B = None if rows.weights is None else torch.from_numpy(rows.weights)
    network.eval()  # L-BFGS needs the same loss for the same weights: nothing is left out at random
    return minimise(network, lambda: loss(network(**inputs), wanted_B, weights_B),
                    most_steps=fit.iterations, progress=progress)
