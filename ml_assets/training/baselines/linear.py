"""The simplest models that learn: linear in numbers and categories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ml_assets.core.model import FullBatch, Model, Text
from ml_assets.core.target import Scale, Target
from ml_assets.training.convergence import Convergence
from ml_assets.training.encoding.encoder import Encoder
from ml_assets.training.encoding.learning import learnt
from ml_assets.training.full_batch import minimise
from ml_assets.training.loop.losses import MeanLoss
from ml_assets.training.loop.progress import untold
from ml_assets.training.rows.labelled import LabelledRows
from ml_assets.training.rows.training_rows import TrainingRows
from ml_assets.training.scored import Outputs
from ml_assets.training.sparse import times, transposed
from ml_assets.training.wanted import wanted_of

PENALTY = 1.0
"""On half the squared weights, of the loss summed over rows: as scikit-learn's LogisticRegression
has it unless told otherwise."""

Arrays = Mapping[str, npt.NDArray[Any]]


class LinearNetwork(nn.Module):
    """(B, K) logits: a weight for each number, for its absence, and for each value of a category.

    sizes: of the C categories' tables
    """

    def __init__(self, numbers: int, sizes: tuple[int, ...], logits: int) -> None:
        super().__init__()
        self.sizes = sizes
        self.bias_K = nn.Parameter(torch.zeros(logits))
        self.numbers_KN = nn.Parameter(torch.zeros(logits, 2 * numbers))
        self.categories_KV = nn.Parameter(torch.zeros(logits, sum(sizes)))

    def forward(
        self, numbers_BN: torch.Tensor, ones_BV: torch.Tensor, ones_VB: torch.Tensor | None
    ) -> torch.Tensor:
        logits_BK: torch.Tensor = (self.bias_K + numbers_BN @ self.numbers_KN.T
                                   + times(ones_BV, ones_VB, self.categories_KV))
        return logits_BK

    def penalty(self) -> torch.Tensor:
        """The bias is free."""
        squares: torch.Tensor = self.numbers_KN.square().sum() + self.categories_KV.square().sum()
        return 0.5 * PENALTY * squares

    def inputs(self, arrays: Arrays, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The numbers (B, 2N) of B rows, and (B, V) a one for each category's value."""
        numbers_BN = torch.from_numpy(np.concatenate(
            [arrays.get(name, np.empty((rows, 0), np.float32)) for name in ("numbers", "missing")],
            axis=1))
        columns = len(self.sizes)
        starts = np.cumsum((0, *self.sizes))[:-1]
        values_BC = arrays.get("categories", np.empty((rows, 0), np.int64)) + starts
        ones_BV = torch.sparse_csr_tensor(
            torch.arange(rows + 1) * columns, torch.from_numpy(values_BC.ravel()),
            torch.ones(rows * columns), size=(rows, sum(self.sizes)), check_invariants=False)
        return numbers_BN, ones_BV


@dataclass(frozen=True, kw_only=True)
class LinearModel:
    """Logistic, softmax or ridge regression, as the target has it. It is held against others and
    never served."""

    target: Target
    scale: Scale
    encoder: Encoder
    network: LinearNetwork
    convergence: Convergence

    def outputs(self, rows: TrainingRows) -> Outputs:
        """(N, W) of N rows."""
        return np.concatenate([
            np.empty((0, len(self.target.outputs))), *map(self._outputs, rows.blocks())])

    def _outputs(self, rows: LabelledRows) -> Outputs:
        arrays = self.encoder(rows.texts, rows.dense)
        with torch.inference_mode():
            logits_BK = self.network(*self.network.inputs(arrays, len(rows)), None)
        return self.target.outputs_of(
            logits_BK.double().numpy(), self.scale, rows.feature_names, rows.dense)


def fit_linear(model: Model, target: Target, rows: LabelledRows) -> LinearModel | None:
    """Fitted to the numbers and categories that `model` reads; None if it reads neither. Texts,
    sequences and vectors are left out.

    The loss is convex, and the weights begin at 0: there is one answer.
    """
    plain = replace(model, inputs=tuple(
        each for each in model.inputs if not isinstance(each, Text)))
    encoder = learnt(plain, rows, rows)
    shapes = encoder.shapes(target.logits)
    if not shapes.numbers and not shapes.categories:
        return None
    network = LinearNetwork(
        len(shapes.numbers), tuple(shapes.categories.values()), target.logits)
    scale, mean_of = target.scale(rows.codes), MeanLoss(target.loss)
    numbers_BN, ones_BV = network.inputs(encoder(rows.texts, rows.dense), len(rows))
    ones_VB, wanted_B = transposed(ones_BV), wanted_of(target, rows.codes, scale)
    weights_B = None if rows.weights is None else torch.from_numpy(rows.weights)

    def mean_loss() -> torch.Tensor:
        loss = mean_of(network(numbers_BN, ones_BV, ones_VB), wanted_B, weights_B)
        return loss + network.penalty() / len(wanted_B)

    convergence = minimise(
        network, mean_loss, most_steps=FullBatch().iterations, progress=untold)
    return LinearModel(target=target, scale=scale, encoder=encoder, network=network,
                       convergence=convergence)
