"""Fitting: full-batch, deterministic for a seed, in seconds on two cores."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from ml_assets.core.model import Categories, HashedText, Model, Numbers, Text
from ml_assets.core.target import Scale, Target
from ml_assets.training.convergence import Convergence
from ml_assets.training.encoders import Floats, NaiveBayesWeights, encode_texts
from ml_assets.training.model import WIDTH, HashedTextNetwork, sparse_rows, transposed
from ml_assets.training.scorer import HashedTextScorer
from ml_assets.training.tabular import FURTHEST, Pieces, Standardiser, Vocabularies
from ml_assets.training.weights import Weights

Progress = Callable[[int, float], None]
"""Told the number of the finished evaluation and the mean loss of a row, penalty included."""

TOLERANCE = 1e-7
"""Fitting ends once a step changes the mean loss, or each parameter, by less than this. Of the
loss of a row, not of the sum: L-BFGS takes one tolerance for losses and for parameters, and one
that grew with the rows ended fits after two steps."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A trained network, and the form in which it is stored and served.

    `ml_assets.training.agreement` compares the two.
    """

    scorer: HashedTextScorer
    network: HashedTextNetwork
    convergence: Convergence


def fit(
    model: Model,
    target: Target,
    texts: Mapping[str, Sequence[str]],
    dense: Floats,
    codes: npt.NDArray[np.float64],
    *,
    feature_names: Sequence[str],
    coded: Collection[str] = (),
    progress: Progress = lambda evaluation, loss: None,
) -> Fitted:
    """Train on B rows: texts and categories by column, dense (B, D) and the labels' codes (B,).

    `feature_names` name the D columns; of those that are `coded`, codes of texts, the network sees
    whether they are missing and no more. L-BFGS (Liu and Nocedal, 1989) on the target's mean loss
    with penalties; the seed draws the first weights. The same arguments give the same weights, to
    the bit, on the same machine. Raises NotReady if nothing can be learnt from such labels.
    """
    target.require_learnable(codes)
    declared, fields = model.network, model.of(Text)
    assert isinstance(declared, HashedText)
    scale = target.scale(codes)
    vocabulary = len(fields) * declared.buckets
    bags = encode_texts(fields, texts, declared.buckets, rows=len(codes))
    weighting = NaiveBayesWeights.fit(bags, target.contrast(codes), vocabulary)
    standardiser, pieces = _blind(
        Standardiser.fit(dense), Pieces.fit(dense, declared.pieces),
        [name in coded for name in feature_names])
    categories = Vocabularies.fit(model.categories, texts)
    numbers = 2 * dense.shape[1] + pieces.count
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(model.seed)
        network = HashedTextNetwork(
            vocabulary=vocabulary, numbers=numbers, categories=categories.sizes,
            hidden=declared.hidden, logits=target.logits,
        )
    scorer = HashedTextScorer(
        target=target, scale=scale, fields=fields, feature_names=tuple(feature_names),
        buckets=declared.buckets, weighting=weighting, standardiser=standardiser, pieces=pieces,
        categories=categories, weights=_weights(network, vocabulary, numbers, categories),
    )
    text_BV = sparse_rows(weighting(bags), fields=len(fields), vocabulary=vocabulary)
    arguments = (
        text_BV, transposed(text_BV), torch.from_numpy(scorer.inputs(dense)),
        torch.from_numpy(categories(texts, rows=len(dense))),
    )
    convergence = _minimise(
        network, arguments, _wanted(target, codes, scale), declared, loss=target.loss,
        most_steps=model.fit.iterations, progress=progress,
    )
    learnt = _weights(network, vocabulary, numbers, categories)
    return Fitted(scorer=replace(scorer, weights=learnt), network=network.eval(),
                  convergence=convergence)


def _blind(
    standardiser: Standardiser, pieces: Pieces, columns: Sequence[bool]
) -> tuple[Standardiser, Pieces]:
    """The same, but whatever is in some of the columns makes no difference."""
    deviation, edges = standardiser.deviation.copy(), pieces.edges.copy()
    deviation[list(columns)], edges[list(columns)] = FURTHEST, 0
    return replace(standardiser, deviation=deviation), replace(pieces, edges=edges)


def fit_linear(
    model: Model,
    target: Target,
    texts: Mapping[str, Sequence[str]],
    dense: Floats,
    codes: npt.NDArray[np.float64],
    *,
    feature_names: Sequence[str],
) -> HashedTextScorer:
    """Logistic or ridge regression on the same rows' numbers and categories, texts left out: what
    a model must beat to be worth its trouble.
    """
    declared = model.network if isinstance(model.network, HashedText) else HashedText()
    plain = replace(
        model, network=replace(declared, hidden=0, pieces=0),
        inputs=tuple(each for each in model.inputs if isinstance(each, Numbers | Categories)))
    return fit(plain, target, texts, dense, codes, feature_names=feature_names).scorer


def _minimise(
    network: HashedTextNetwork,
    arguments: tuple[torch.Tensor, ...],
    wanted_B: torch.Tensor,
    declared: HashedText,
    *,
    loss: str,
    most_steps: int,
    progress: Progress,
) -> Convergence:
    row_loss, rows, losses = getattr(functional, loss), len(wanted_B), list[float]()
    optimiser = torch.optim.LBFGS(
        network.parameters(), max_iter=most_steps, history_size=8,
        tolerance_change=TOLERANCE, line_search_fn="strong_wolfe",
    )

    def evaluate() -> torch.Tensor:
        optimiser.zero_grad()
        logits_BK = network(*arguments)
        if logits_BK.shape[1] == 1:
            logits_BK = logits_BK.squeeze(1)
        penalty = network.penalty(text=declared.l2_text, dense=declared.l2_dense)
        mean: torch.Tensor = row_loss(logits_BK, wanted_B) + penalty / rows
        mean.backward()  # type: ignore[no-untyped-call]
        losses.append(mean.item())
        progress(len(losses), losses[-1])
        return mean

    optimiser.step(evaluate)  # type: ignore[no-untyped-call]
    steps = int(optimiser.state[optimiser.param_groups[0]["params"][0]]["n_iter"])
    gradient = max(float(each.grad.abs().max()) for each in network.parameters()
                   if each.grad is not None and each.numel())
    return Convergence(losses=tuple(losses), steps=steps, most_steps=most_steps,
                       gradient=gradient)


def _weights(
    network: HashedTextNetwork, vocabulary: int, numbers: int, categories: Vocabularies
) -> Weights:
    return Weights.of(
        {name: value.numpy().copy() for name, value in network.state_dict().items()},
        vocabulary=vocabulary, inputs=numbers + WIDTH * len(categories.known),
        hidden=network.hidden.out_features, logits=network.output.out_features,
        categories=categories.sizes, width=WIDTH,
    )


def _wanted(target: Target, codes: npt.NDArray[np.float64], scale: Scale) -> torch.Tensor:
    """(B,) what the loss compares the logits with: one number, or which of several logits."""
    if target.logits > 1:
        return torch.from_numpy(codes.astype(np.int64))
    return torch.from_numpy(((codes - scale.mean) / scale.deviation).astype(np.float32))
