"""A trained network as an ONNX file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ml_assets.core.errors import ModelRefused
from ml_assets.training.exported.scorer import LOGITS

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

OPSET = 20
"""Of ONNX: the version of its operators."""
_APART = "."
"""Before a name, of inputs until they are renamed: no value of the exporter's begins so."""


class Positional(nn.Module):
    """The network with its arrays in a fixed order, and its logits (B, K)."""

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names = network, tuple(names)

    def forward(self, *arrays: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(**dict(zip(self.names, arrays, strict=True)))
        return logits.unsqueeze(1) if logits.ndim == 1 else logits


def export(network: nn.Module, arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """The network in evaluation mode, as an ONNX file that takes any number of rows.

    arrays: what it is called with, of a row or more
    Raises ModelRefused if it does what ONNX cannot say.
    """
    example = tuple(
        torch.from_numpy(np.concatenate([values[:1]] * 3)) for values in arrays.values())
    rows = torch.export.Dim("rows")
    try:
        with _quietly(), _translations_kept():
            program = torch.onnx.export(
                Positional(network.eval(), list(arrays)), example, dynamo=True, verbose=False,
                dynamic_shapes=(tuple({0: rows} for _ in example),),
                input_names=[_APART + name for name in arrays], output_names=[LOGITS],
                opset_version=OPSET,
            )
    except Exception as error:
        raise ModelRefused(
            f"{type(network).__name__} cannot be exported to ONNX, so it could not be served. What "
            "its forward does must follow from shapes and not from values, and use operators that "
            f"torch.onnx knows ({str(error).strip().splitlines()[0]})") from error
    assert program is not None
    model = _bare(program.model_proto)
    _rename(model.graph, list(arrays))
    return bytes(model.SerializeToString())


def _rename(graph: GraphProto, names: Sequence[str]) -> None:
    """Give the inputs their names, and whatever the exporter called like one of them another.

    It calls a value after its operator: `embedding`, `add`, `linear`. A column may be called so.
    """
    renamed = {_APART + name: name for name in names} | {name: _APART + name for name in names}

    def rename(graph: GraphProto) -> None:
        for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
            value.name = renamed.get(value.name, value.name)
        for node in graph.node:
            node.input[:] = [renamed.get(name, name) for name in node.input]
            node.output[:] = [renamed.get(name, name) for name in node.output]
            for attribute in node.attribute:
                for inner in (*attribute.graphs, attribute.g):
                    rename(inner)

    rename(graph)


def _bare(model: ModelProto) -> ModelProto:
    """Without the exporter's notes on each node: stack traces, with this machine's paths."""
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.initializer,
                 *model.graph.input, *model.graph.output, model.graph, model):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


@contextmanager
def _quietly() -> Iterator[None]:
    """The exporter warns of its own parts."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx")]
    before = [each.level for each in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for each in loggers:
            each.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for each, level in zip(loggers, before, strict=True):
                each.setLevel(level)


@contextmanager
def _translations_kept() -> Iterator[None]:
    """Every export collects the translations of all operators anew, half of what a small network's
    costs. They are the same each time.
    """
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    known = _translations()
    exporter: Any = ONNXRegistry
    collect = vars(exporter)["from_torchlib"]

    def kept(cls: type[ONNXRegistry], opset_version: int) -> ONNXRegistry:
        assert opset_version == OPSET
        again = cls()
        again._opset_version = opset_version
        again.functions = {target: list(each) for target, each in known.items()}
        return again

    exporter.from_torchlib = classmethod(kept)
    try:
        yield
    finally:
        exporter.from_torchlib = collect


@cache
def _translations() -> Mapping[Any, Sequence[Any]]:
    """By operator."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    return ONNXRegistry.from_torchlib(opset_version=OPSET).functions
