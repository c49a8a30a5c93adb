"""What a scorer costs by itself, without the request around it: CPU time of a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from benchmarks.serving_load.features import SERVICE
from benchmarks.serving_load.system import NUMBERS, PAYMENTS, WORDS
from benchmarks.serving_load.traffic import Rows, draw
from ml_assets.bench import Measurement
from ml_assets.core.model import Minibatch, Model, Numbers, Tabular
from ml_assets.training.exported.export import export
from ml_assets.training.fit import fit
from ml_assets.training.hashed_text.bags import encode_texts
from ml_assets.training.hashed_text.fit import fit_hashed_text
from ml_assets.training.hashed_text.scorer import HashedTextScorer
from ml_assets.training.rows.labelled import LabelledRows

BATCHES = (1, 8, 64)
TRAINED_ON, ASKED = 2_000, 512
FEATURES = (*NUMBERS, *SERVICE.features)
NEAR = 1e-5

Scores = Callable[[slice], npt.NDArray[np.float64]]


class HashedTextInOnnx(nn.Module):
    """The network of hashed texts over padded bags: (B, L) buckets and weights, (B, I) inputs."""

    def __init__(self, scorer: HashedTextScorer) -> None:
        super().__init__()
        weights = scorer.weights
        self.words = nn.Embedding.from_pretrained(torch.from_numpy(weights.words_KV.T.copy()))
        self.hidden = _linear(weights.hidden_HI, weights.hidden_bias_H)
        self.output = _linear(weights.output_KH, weights.output_bias_K)
        self.linear = _linear(weights.linear_KI)

    def forward(
        self, buckets: torch.Tensor, weights: torch.Tensor, inputs: torch.Tensor
    ) -> torch.Tensor:
        of_texts = (self.words(buckets) * weights[:, :, None]).sum(dim=1)
        logits: torch.Tensor = (
            self.output(torch.tanh(self.hidden(inputs))) + self.linear(inputs) + of_texts)
        return logits


def measure(*, quick: bool) -> Iterator[Measurement]:
    """Medians of interleaved rounds in one process, on one thread."""
    torch.set_num_threads(1)
    rows = draw(TRAINED_ON, seed=1)
    texts, codes, asked = {"note": rows.notes}, rows.labels.astype(float), draw(ASKED, seed=2)
    model = PAYMENTS.model
    text = fit_hashed_text(model, PAYMENTS.target, LabelledRows(
        texts=texts, dense=rows.dense, codes=codes, feature_names=FEATURES)).scorer
    tabular = fit(
        Model(inputs=(Numbers(*NUMBERS),), network=Tabular(), fit=Minibatch(epochs=2)),
        PAYMENTS.target, LabelledRows(
            texts={}, dense=rows.dense, codes=codes, feature_names=FEATURES)).scorer

    def today(some: slice) -> npt.NDArray[np.float64]:
        return text.outputs({"note": asked.notes[some]}, asked.dense[some])

    def table(some: slice) -> npt.NDArray[np.float64]:
        return tabular.outputs({}, asked.dense[some])

    through_onnx = _through_onnx(text, asked)
    near = bool(np.abs(through_onnx(slice(ASKED)) - today(slice(ASKED))).max() <= NEAR)
    for batch in BATCHES:
        numpy_us, onnx_us, table_us = _costs((today, through_onnx, table), batch,
                                             rounds=5 if quick else 25)
        yield Measurement(
            bench=f"scoring: hashed text, {batch} rows, numpy beside ONNX", ours=numpy_us,
            peer=onnx_us, unit="CPU us a row", ratio=onnx_us / numpy_us,
            goal="no more than ONNX: else the scorer in numpy is for nothing",
            met=numpy_us <= onnx_us, equal=near,
        )
        yield Measurement(
            bench=f"scoring: a tabular network through ONNX, {batch} rows, beside hashed text",
            ours=table_us, peer=numpy_us, unit="CPU us a row", ratio=numpy_us / table_us,
            goal="no more than the text model", met=table_us <= numpy_us, equal=None,
        )


def _through_onnx(scorer: HashedTextScorer, asked: Rows) -> Scores:
    """The same model with its network in ONNX Runtime; texts are hashed in numpy all the same."""
    import onnxruntime

    def encoded(some: slice) -> Mapping[str, npt.NDArray[Any]]:
        dense = asked.dense[some]
        bags = scorer.weighting(encode_texts(scorer.fields, {"note": asked.notes[some]},
                                             scorer.buckets, rows=len(dense)))
        lengths = np.diff(bags.offsets)
        there = np.arange(2 * WORDS - 1) < lengths[:, None]
        buckets, weights = np.zeros(there.shape, np.int64), np.zeros(there.shape, np.float32)
        buckets[there], weights[there] = bags.buckets, bags.weights
        return {"buckets": buckets, "weights": weights, "inputs": scorer.inputs(dense)}

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        export(HashedTextInOnnx(scorer), encoded(slice(3))), options,
        providers=["CPUExecutionProvider"])

    def scores(some: slice) -> npt.NDArray[np.float64]:
        [logits_BK] = session.run(None, dict(encoded(some)))
        return scorer.target.link(logits_BK.astype(np.float64), scorer.scale)

    return scores


def _costs(candidates: tuple[Scores, ...], batch: int, *, rounds: int) -> list[float]:
    """CPU microseconds of a row for each candidate, by turns."""
    found: list[list[float]] = [[] for _ in candidates]
    for _ in range(rounds):
        for scores, costs in zip(candidates, found, strict=True):
            started = process_time()
            for start in range(0, ASKED, batch):
                scores(slice(start, start + batch))
            costs.append((process_time() - started) / ASKED * 1e6)
    return [median(costs) for costs in found]


def _linear(weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32] | None = None
            ) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    with torch.no_grad():
        made.weight.copy_(torch.from_numpy(weight))
        if bias is not None:
            made.bias.copy_(torch.from_numpy(bias))
    return made
