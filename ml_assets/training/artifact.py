"""Models on disk: safetensors and a typed JSON config, never a pickle.

A stored model carries an example with its scores; loading replays it, so a file that was
damaged, or code that has changed meaning, is refused instead of served.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ml_assets.core.errors import ModelRefused
from ml_assets.core.storage.checksums import NAME, verify, write_checksums
from ml_assets.core.storage.files import make_folder, replacing, write_atomically
from ml_assets.core.system import TextField
from ml_assets.training.encoders import Floats, NaiveBayesWeights, Standardiser
from ml_assets.training.scorer import HashedTextScorer
from ml_assets.training.weights import Weights, require

FORMAT = 2
"""Since 2 each file has a checksum; what was stored before is loaded without."""
BEFORE_CHECKSUMS = 1
log = logging.getLogger(__name__)
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
    scorer: HashedTextScorer, folder: Path, *, texts: Mapping[str, Sequence[str]], dense: Floats
) -> None:
    """Write the model into `folder`, with the given rows (a handful) as its example."""
    make_folder(folder)
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
    write_checksums(folder)


def load(folder: Path) -> HashedTextScorer:
    """The model in `folder`, its files as they were saved, and proved on its example.

    Raises ModelRefused, naming the folder, if a file is missing, differs from its checksum or is
    of another format, if a value is impossible, or if the example's scores are not reproduced
    within 1e-5. A model from before checksums is loaded, and the log says so.
    """
    try:
        checked = verify(folder)
        stored = msgspec.json.decode((folder / "model.json").read_bytes(), type=StoredModel)
        example = msgspec.json.decode((folder / "example.json").read_bytes(), type=StoredExample)
        weights = load_file(folder / "weights.safetensors")
        _require_format(stored.format, checked=checked)
        scorer = _build(stored, weights)
        dense = _dense(example, stored)
    except (OSError, msgspec.MsgspecError, SafetensorError, ModelRefused) as error:
        raise ModelRefused(f"model {folder} cannot be loaded: {error}") from error
    if not checked:
        log.warning("model %s was stored before checksums (format %d): it is proved on its example "
                    "alone. Train again to have them", folder, stored.format)
    scores = scorer.score(example.texts, dense)
    if not np.allclose(scores, example.scores, rtol=0, atol=TOLERANCE):
        worst = int(np.argmax(np.abs(scores - example.scores)))
        raise ModelRefused(
            f"model {folder} does not reproduce its stored example: row {worst} scores "
            f"{scores[worst]:.6f}, stored {example.scores[worst]:.6f}. Train again, or roll back."
        )
    return scorer


def _require_format(stored: int, *, checked: bool) -> None:
    if stored not in (FORMAT, BEFORE_CHECKSUMS):
        raise ModelRefused(f"it has format {stored}; this version knows {FORMAT} and "
                           f"{BEFORE_CHECKSUMS}")
    if stored == FORMAT and not checked:
        raise ModelRefused(f"{NAME} is missing, which every model of format {FORMAT} has")


def _dense(example: StoredExample, stored: StoredModel) -> Floats:
    """The example's numbers (B, D), missing ones NaN. Raises ModelRefused unless they fit."""
    rows, columns = len(example.scores), len(stored.feature_names)
    if len(example.dense) != rows or any(len(row) != columns for row in example.dense):
        raise ModelRefused(f"its example should have {rows} rows of {columns} numbers")
    if missing := {field.column for field in stored.fields} - set(example.texts):
        raise ModelRefused(f"its example lacks the texts {sorted(missing)}")
    if any(len(texts) != rows for texts in example.texts.values()):
        raise ModelRefused(f"its example should have {rows} texts of each column")
    return np.array(
        [[np.nan if x is None else x for x in row] for row in example.dense], dtype=np.float32
    ).reshape(rows, columns)


def _require_possible(stored: StoredModel) -> None:
    """Raise ModelRefused for values that no training writes."""
    if not 0 <= stored.threshold <= 1:
        raise ModelRefused(f"threshold is {stored.threshold}; expected a score, 0 to 1")
    if stored.buckets < 1 or stored.buckets & (stored.buckets - 1):
        raise ModelRefused(f"buckets is {stored.buckets}; expected a power of two")
    if stored.hidden < 0:
        raise ModelRefused(f"hidden is {stored.hidden}; expected a number of units")
    if len(set(stored.feature_names)) < len(stored.feature_names):
        raise ModelRefused(f"a feature occurs twice: {', '.join(stored.feature_names)}")


def _build(stored: StoredModel, weights: Mapping[str, npt.NDArray[np.float32]]) -> HashedTextScorer:
    _require_possible(stored)
    if not (np.asarray(weights.get("deviation", 1)) > 0).all():
        raise ModelRefused("tensor 'deviation' holds numbers that are not above 0")
    vocabulary, numbers = len(stored.fields) * stored.buckets, len(stored.feature_names)
    return HashedTextScorer(
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
