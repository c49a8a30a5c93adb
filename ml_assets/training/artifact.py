"""Models on disk: safetensors and a typed JSON config, never a pickle.

A stored model carries an example with its scores; loading replays it, so a file that was
damaged, or code that has changed meaning, is refused instead of served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ml_assets.core.errors import ModelRefused
from ml_assets.core.files import replacing, write_atomically
from ml_assets.core.system import TextField
from ml_assets.training.encoders import Floats, NaiveBayesWeights, Standardiser
from ml_assets.training.scorer import Scorer
from ml_assets.training.weights import Weights, require

FORMAT = 1
NETWORK = "network."
"""Prefix of the network's tensors among those of the file."""
TOLERANCE = 1e-5
"""Runtimes and processors agree to about this in float32."""


class StoredModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`model.json`: all that the weights do not say."""

    format: int
    fields: tuple[TextField, ...]
    feature_names: tuple[str, ...]
    threshold: float
    buckets: int
    hidden: int


class StoredExample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`example.json`: a few rows and the scores that the model gave them when it was saved."""

    texts: dict[str, list[str]]
    dense: list[list[float | None]]
    scores: list[float]


def save(
    scorer: Scorer, folder: Path, *, texts: Mapping[str, Sequence[str]], dense: Floats
) -> None:
    """Write the model into `folder`, with the given rows (a handful) as its example."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        "importance": scorer.weighting.importance,
        "mean": scorer.standardiser.mean,
        "deviation": scorer.standardiser.deviation,
    }
    for name, value in scorer.weights.tensors().items():
        weights[f"{NETWORK}{name}"] = value
    with replacing(folder / "weights.safetensors") as temporary:
        save_file(weights, temporary)
    stored = StoredModel(
        format=FORMAT, fields=scorer.fields, feature_names=scorer.feature_names,
        threshold=scorer.threshold, buckets=scorer.buckets,
        hidden=len(scorer.weights.output_H),
    )
    write_atomically(folder / "model.json", msgspec.json.format(msgspec.json.encode(stored)))
    example = StoredExample(
        texts={column: list(texts[column]) for column in scorer.texts},
        dense=[[None if np.isnan(x) else float(x) for x in row] for row in dense],
        scores=scorer.score(texts, dense).tolist(),
    )
    write_atomically(folder / "example.json", msgspec.json.encode(example))


def load(folder: Path) -> Scorer:
    """The model in `folder`, proved on its example.

    Raises ModelRefused, naming the folder, where a file is missing, damaged, of another
    format, or where the example's scores are not reproduced within 1e-5.
    """
    try:
        stored = msgspec.json.decode((folder / "model.json").read_bytes(), type=StoredModel)
        example = msgspec.json.decode((folder / "example.json").read_bytes(), type=StoredExample)
        weights = load_file(folder / "weights.safetensors")
        if stored.format != FORMAT:
            raise ModelRefused(f"model {folder} has format {stored.format}; expected {FORMAT}")
        scorer = _build(stored, weights)
    except (OSError, msgspec.MsgspecError, SafetensorError, ModelRefused) as error:
        raise ModelRefused(f"model {folder} cannot be loaded: {error}") from error
    dense = np.array(
        [[np.nan if x is None else x for x in row] for row in example.dense], dtype=np.float32
    ).reshape(len(example.scores), len(stored.feature_names))
    scores = scorer.score(example.texts, dense)
    if not np.allclose(scores, example.scores, rtol=0, atol=TOLERANCE):
        worst = int(np.argmax(np.abs(scores - example.scores)))
        raise ModelRefused(
            f"model {folder} does not reproduce its stored example: row {worst} scores "
            f"{scores[worst]:.6f}, stored {example.scores[worst]:.6f}. Train again, or roll back."
        )
    return scorer


def _build(stored: StoredModel, weights: Mapping[str, npt.NDArray[np.float32]]) -> Scorer:
    vocabulary, numbers = len(stored.fields) * stored.buckets, len(stored.feature_names)
    return Scorer(
        fields=stored.fields, feature_names=stored.feature_names, threshold=stored.threshold,
        buckets=stored.buckets,
        weighting=NaiveBayesWeights(importance=require(weights, "importance", (vocabulary,))),
        standardiser=Standardiser(mean=require(weights, "mean", (numbers,)),
                                  deviation=require(weights, "deviation", (numbers,))),
        weights=Weights.of(
            {name.removeprefix(NETWORK): value
             for name, value in weights.items() if name.startswith(NETWORK)},
            vocabulary=vocabulary, inputs=2 * numbers, hidden=stored.hidden,
        ),
    )
