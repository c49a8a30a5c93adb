"""Fitting: full-batch, deterministic for a seed, in seconds on two cores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from ml_assets.core.system import ModelConfig
from ml_assets.core.target import Scale, Target
from ml_assets.training.encoders import Floats, NaiveBayesWeights, Standardiser, encode_texts
from ml_assets.training.model import HashedTextNetwork, sparse_rows, transposed
from ml_assets.training.scorer import HashedTextScorer
from ml_assets.training.weights import Weights

Progress = Callable[[int, float], None]
"""Told the number of the finished evaluation and the mean loss of a row, penalty included."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A trained network, and the form in which it is stored and served.

    `ml_assets.training.agreement` compares the two.
    """

    scorer: HashedTextScorer
    network: HashedTextNetwork


def fit(
    config: ModelConfig,
    target: Target,
    texts: Mapping[str, Sequence[str]],
    dense: Floats,
    codes: npt.NDArray[np.float64],
    *,
    feature_names: Sequence[str],
    progress: Progress = lambda evaluation, loss: None,
) -> Fitted:
    """Train on B rows: their texts by column, dense inputs (B, D) and the labels' codes (B,).

    `feature_names` name the D columns. L-BFGS (Liu and Nocedal, 1989) on the target's loss with
    penalties; the seed draws the hidden layer's first weights. The same arguments give the same
    weights, to the bit, on the same machine. Raises NotReady if nothing can be learnt from such
    labels.
    """
    target.require_learnable(codes)
    scale = target.scale(codes)
    bags = encode_texts(config.fields, texts, config.buckets, rows=len(codes))
    vocabulary = len(config.fields) * config.buckets
    weighting = NaiveBayesWeights.fit(bags, target.contrast(codes), vocabulary)
    standardiser = Standardiser.fit(dense)
    inputs = standardiser(dense)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = HashedTextNetwork(
            vocabulary=vocabulary, inputs=inputs.shape[1], hidden=config.hidden,
            logits=target.logits,
        )
    text_BV = sparse_rows(weighting(bags), fields=len(config.fields), vocabulary=vocabulary)
    arguments = (text_BV, transposed(text_BV), torch.from_numpy(inputs))
    wanted_B = _wanted(target, codes, scale)
    row_loss = getattr(functional, target.loss)
    optimiser = torch.optim.LBFGS(
        network.parameters(), max_iter=config.iterations, history_size=8,
        tolerance_change=1e-6 * len(codes), line_search_fn="strong_wolfe",
    )
    evaluations = 0

    def loss() -> torch.Tensor:
        nonlocal evaluations
        optimiser.zero_grad()
        logits_BK = network(*arguments)
        total: torch.Tensor = row_loss(
            logits_BK if target.logits > 1 else logits_BK.squeeze(1), wanted_B, reduction="sum")
        total = total + network.penalty(text=config.l2_text, dense=config.l2_dense)
        total.backward()  # type: ignore[no-untyped-call]
        evaluations += 1
        progress(evaluations, total.item() / len(codes))
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    weights = Weights.of(
        {name: value.numpy().copy() for name, value in network.state_dict().items()},
        vocabulary=vocabulary, inputs=inputs.shape[1], hidden=config.hidden,
        logits=target.logits,
    )
    return Fitted(
        scorer=HashedTextScorer(
            target=target, scale=scale, fields=config.fields,
            feature_names=tuple(feature_names), buckets=config.buckets, weighting=weighting,
            standardiser=standardiser, weights=weights,
        ),
        network=network.eval(),
    )


def _wanted(target: Target, codes: npt.NDArray[np.float64], scale: Scale) -> torch.Tensor:
    """(B,) what the loss compares the logits with: one number, or which of several logits."""
    if target.logits > 1:
        return torch.from_numpy(codes.astype(np.int64))
    return torch.from_numpy(((codes - scale.mean) / scale.deviation).astype(np.float32))
