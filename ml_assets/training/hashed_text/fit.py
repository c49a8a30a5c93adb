"""Fitting the network of hashed texts: full-batch, in seconds on two cores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ml_assets.core.model import FullBatch, HashedText, Model, Text
from ml_assets.core.target import Target
from ml_assets.training.encoding.codebook import Codebook
from ml_assets.training.encoding.columns import Pieces, Standardiser, Vocabularies
from ml_assets.training.full_batch import minimise
from ml_assets.training.hashed_text.bags import NaiveBayesWeights, encode_texts
from ml_assets.training.hashed_text.network import WIDTH, HashedTextNetwork, sparse_rows
from ml_assets.training.hashed_text.scorer import HashedTextScorer
from ml_assets.training.hashed_text.weights import Weights
from ml_assets.training.loop.losses import MeanLoss
from ml_assets.training.loop.progress import StepProgress, untold
from ml_assets.training.networks.shown import ShiftedIfShown
from ml_assets.training.rows.encoding import SHOWN
from ml_assets.training.rows.labelled import LabelledRows
from ml_assets.training.scored import Fitted, Floats, Outputs, Texts
from ml_assets.training.sparse import transposed
from ml_assets.training.wanted import wanted_of


def fit_hashed_text(
    model: Model, target: Target, rows: LabelledRows, *, progress: StepProgress = untold
) -> Fitted[HashedTextScorer]:
    """Train on the target's mean loss with penalties; the seed draws the first weights.

    The same arguments give the same weights, to the bit, on the same machine.
    """
    declared, fields = model.network, model.of(Text)
    assert isinstance(declared, HashedText) and isinstance(model.fit, FullBatch)
    texts, dense, codes = rows.texts, rows.dense, rows.codes
    feature_names, coded = rows.feature_names, rows.coded
    scale = target.scale(codes)
    vocabulary = len(fields) * declared.buckets
    bags = encode_texts(fields, texts, declared.buckets, rows=len(codes))
    weighting = NaiveBayesWeights.fit(bags, target.contrast(codes), vocabulary)
    names = tuple(name for name in feature_names if name not in model.without)
    read = tuple(name for name in names if name not in coded)
    places = {name: place for place, name in enumerate(feature_names)}
    plain = dense if len(read) == dense.shape[1] else dense[:, [places[name] for name in read]]
    standardiser, pieces = Standardiser.fit(plain), Pieces.fit(plain, declared.pieces)
    categories = Vocabularies.fit(model.categories, texts)
    books = {name: Codebook.fit(dense[:, places[name]]) for name in names if name in coded}
    sizes = (*categories.sizes, *(book.size for book in books.values()))
    numbers = 2 * len(read) + pieces.count
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(model.seed)
        network = HashedTextNetwork(
            vocabulary=vocabulary, numbers=numbers, categories=sizes,
            hidden=declared.hidden, logits=target.logits,
        )
    scorer = HashedTextScorer(
        target=target, scale=scale, fields=fields, feature_names=feature_names, numbers=read,
        buckets=declared.buckets, weighting=weighting, standardiser=standardiser, pieces=pieces,
        categories=categories, coded=books, weights=_weights(network, vocabulary, numbers, sizes),
    )
    text_BV = sparse_rows(weighting(bags), fields=len(fields), vocabulary=vocabulary)
    arguments = (
        text_BV, transposed(text_BV), torch.from_numpy(scorer.inputs(dense)),
        torch.from_numpy(scorer.rows(texts, dense)),
    )
    wanted_B, row_loss = wanted_of(target, codes, scale), MeanLoss(model.loss or target.loss)
    weights_B = None if rows.weights is None else torch.from_numpy(rows.weights)
    shown = {} if rows.shown is None else {SHOWN: torch.from_numpy(rows.shown).float()}
    fitted = ShiftedIfShown(network) if shown else network

    def mean_loss() -> torch.Tensor:
        logits_BK = fitted(*arguments, **shown)
        penalty = network.penalty(text=declared.l2_text, dense=declared.l2_dense)
        mean: torch.Tensor = row_loss(logits_BK, wanted_B, weights_B) + penalty / len(wanted_B)
        return mean

    convergence = minimise(fitted, mean_loss, most_steps=model.fit.iterations, progress=progress)
    scorer = replace(scorer, weights=_weights(network, vocabulary, numbers, sizes))
    network.eval()

    def logits(texts: Texts, dense: Floats) -> Outputs:
        """From the inputs that the scorer makes too."""
        bags = weighting(encode_texts(fields, texts, declared.buckets, rows=len(dense)))
        text_BV = sparse_rows(bags, fields=len(fields), vocabulary=vocabulary)
        with torch.inference_mode():
            logits_BK = network(
                text_BV, None, torch.from_numpy(scorer.inputs(dense)),
                torch.from_numpy(scorer.rows(texts, dense)))
            return np.asarray(logits_BK.double().numpy())

    return Fitted(scorer=scorer, logits=logits, convergence=convergence,
                  state=scorer.weights.tensors())


def _weights(
    network: HashedTextNetwork, vocabulary: int, numbers: int, sizes: Sequence[int]
) -> Weights:
    return Weights.of(
        {name: value.numpy().copy() for name, value in network.state_dict().items()},
        vocabulary=vocabulary, inputs=numbers + WIDTH * len(sizes),
        hidden=network.hidden.out_features, logits=network.output.out_features,
        categories=sizes, width=WIDTH,
    )
