"""A network's ONNX file: it takes the columns by their names, whatever these are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from ml_assets.training.exported.export import export

ARRAYS = (np.array([[1, 2, 0], [3, 0, 0]]), np.array([[0.5, -1.0], [2.0, 0.25]], np.float32))


class Small(nn.Module):
    """Of what users' networks have: a table, a mean, a layer, a sum."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.layer = nn.Embedding(5, 2), nn.Linear(2, 3)

    def forward(self, **arrays: torch.Tensor) -> torch.Tensor:
        ids_BL, numbers_BD = arrays.values()
        logits: torch.Tensor = torch.relu(self.layer(self.table(ids_BL).mean(1) + numbers_BD))
        return logits


def scored(names: tuple[str, str]) -> npt.NDArray[Any]:
    network = export(Small(), dict(zip(names, ARRAYS, strict=True)))
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    assert tuple(each.name for each in session.get_inputs()) == names
    [logits] = session.run(None, dict(zip(names, ARRAYS, strict=True)))
    return np.asarray(logits)


def values_of_the_exporter() -> list[str]:
    graph = onnx.load_from_string(export(Small(), dict(zip("xy", ARRAYS, strict=True)))).graph
    made = [name for node in graph.node for name in node.output]
    return sorted({*made, *(each.name for each in graph.initializer)})


def test_a_column_may_be_called_like_any_value_of_the_network() -> None:
    """As `embedding`, `linear`, `relu` and `logits` are."""
    expected, names = scored(("ids", "numbers")), values_of_the_exporter()
    assert {"embedding", "linear", "logits"} <= set(names)
    for pair in zip(names, (*names[1:], names[0]), strict=True):
        assert (scored(pair) == expected).all(), pair


@pytest.mark.parametrize("names", [("\u540d\u524d", "class"), ("y", "x")])
def test_a_column_may_be_called_anything(names: tuple[str, str]) -> None:
    assert (scored(names) == scored(("ids", "numbers"))).all()
