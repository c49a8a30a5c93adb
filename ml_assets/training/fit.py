"""Fitting: full-batch, deterministic for a seed, in seconds on two cores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from ml_assets.core.errors import NotReady
from ml_assets.core.system import ModelConfig
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
    texts: Mapping[str, Sequence[str]],
    dense: Floats,
    labels: npt.NDArray[np.bool_],
    *,
    feature_names: Sequence[str],
    progress: Progress = lambda evaluation, loss: None,
) -> Fitted:
    """Train on B rows: their texts by column, dense inputs (B, D) and labels (B,).

    `feature_names` name the D columns. L-BFGS (Liu and Nocedal, 1989) on the penalised
    logistic loss; the seed draws the hidden layer's first weights. The same arguments give
    the same weights, to the bit, on the same machine. Raises NotReady unless both classes
    occur.
    """
    if len(np.unique(labels)) < 2:
        raise NotReady(
            f"the training set has {len(labels)} labels, all {labels[0] if len(labels) else '-'}; "
            "both classes must occur: ingest more days first"
        )
    bags = encode_texts(config.fields, texts, config.buckets, rows=len(labels))
    vocabulary = len(config.fields) * config.buckets
    weighting = NaiveBayesWeights.fit(bags, labels, vocabulary)
    standardiser = Standardiser.fit(dense)
    inputs = standardiser(dense)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = HashedTextNetwork(
            vocabulary=vocabulary, inputs=inputs.shape[1], hidden=config.hidden
        )
    text_BV = sparse_rows(weighting(bags), fields=len(config.fields), vocabulary=vocabulary)
    arguments = (text_BV, transposed(text_BV), torch.from_numpy(inputs))
    labels_B = torch.from_numpy(labels.astype(np.float32))
    optimiser = torch.optim.LBFGS(
        network.parameters(), max_iter=config.iterations, history_size=8,
        tolerance_change=1e-6 * len(labels), line_search_fn="strong_wolfe",
    )
    evaluations = 0

    def loss() -> torch.Tensor:
        nonlocal evaluations
        optimiser.zero_grad()
        total = binary_cross_entropy_with_logits(network(*arguments), labels_B, reduction="sum")
        total = total + network.penalty(text=config.l2_text, dense=config.l2_dense)
        total.backward()  # type: ignore[no-untyped-call]
        evaluations += 1
        progress(evaluations, total.item() / len(labels))
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    weights = Weights.of(
        {name: value.numpy().copy() for name, value in network.state_dict().items()},
        vocabulary=vocabulary, inputs=inputs.shape[1], hidden=config.hidden,
    )
    return Fitted(
        scorer=HashedTextScorer(
            fields=config.fields, feature_names=tuple(feature_names), threshold=config.threshold,
            buckets=config.buckets, weighting=weighting, standardiser=standardiser,
            weights=weights,
        ),
        network=network.eval(),
    )
