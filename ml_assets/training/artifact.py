"""Models on disk: safetensors and a typed JSON config, never a pickle.

A stored model carries an example with its outputs; loading replays it, so a file that was
damaged, or code that has changed meaning, is refused instead of served.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ml_assets.core.errors import DeclarationError, ModelRefused
from ml_assets.core.model import Text
from ml_assets.core.storage.checksums import NAME, verify, write_checksums
from ml_assets.core.storage.files import make_folder, replacing, write_atomically
from ml_assets.core.target import Scale
from ml_assets.targets.stored import as_json, of_json
from ml_assets.training.encoders import Floats, NaiveBayesWeights
from ml_assets.training.scorer import HashedTextScorer
from ml_assets.training.tabular import Pieces, Standardiser, Vocabularies
from ml_assets.training.weights import WORDS, Weights, require

Stored = npt.NDArray[np.float32]

FORMAT = 3
"""Since 2 each file has a checksum, since 3 a model says its target. Those of before answered
whether something is True."""
BEFORE_CHECKSUMS, BEFORE_TARGETS = 1, 2
log = logging.getLogger(__name__)
NETWORK = "network."
"""Prefix of the network's tensors among those of the file."""
TOLERANCE = 1e-5
"""Runtimes and processors agree to about this in float32."""


class StoredModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`model.json`: all that the weights do not say."""

    format: int
    target: dict[str, Any]
    scale: Scale
    fields: tuple[Text, ...]
    feature_names: tuple[str, ...]
    buckets: int
    hidden: int
    pieces: int = 0
    categories: dict[str, tuple[str, ...]] = {}
    width: int = 0


class StoredExample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`example.json`: a few rows and the outputs that the model gave them when it was saved."""

    texts: dict[str, list[str]]
    dense: list[list[float | None]]
    outputs: list[list[float]]


def save(
    scorer: HashedTextScorer, folder: Path, *, texts: Mapping[str, Sequence[str]], dense: Floats
) -> None:
    """Write the model into `folder`, with the given rows (a handful) as its example."""
    make_folder(folder)
    weights = {
        "importance": scorer.weighting.importance,
        "mean": scorer.standardiser.mean,
        "deviation": scorer.standardiser.deviation,
        "edges": scorer.pieces.edges,
    }
    for name, value in scorer.weights.tensors().items():
        weights[f"{NETWORK}{name}"] = value
    with replacing(folder / "weights.safetensors") as temporary:
        save_file(weights, temporary)
    stored = StoredModel(
        format=FORMAT, target=as_json(scorer.target), scale=scorer.scale,
        fields=scorer.fields, feature_names=scorer.feature_names, buckets=scorer.buckets,
        hidden=len(scorer.weights.hidden_HI), pieces=scorer.pieces.edges.shape[1] - 1,
        categories=dict(scorer.categories.known),
        width=scorer.weights.tables[0].shape[1] if scorer.weights.tables else 0,
    )
    write_atomically(folder / "model.json", msgspec.json.format(msgspec.json.encode(stored)))
    example = StoredExample(
        texts={column: list(texts[column]) for column in scorer.texts},
        dense=[[None if np.isnan(x) else float(x) for x in row] for row in dense],
        outputs=scorer.outputs(texts, dense).tolist(),
    )
    write_atomically(folder / "example.json", msgspec.json.encode(example))
    write_checksums(folder)


def load(folder: Path) -> HashedTextScorer:
    """The model in `folder`, its files as they were saved, and proved on its example.

    Raises ModelRefused, naming the folder, if a file is missing, differs from its checksum or is
    of another format, if a value is impossible, or if the example's outputs are not reproduced
    within 1e-5 (of the labels' deviation, if the target scales them). A model from before
    checksums is loaded, and the log says so.
    """
    try:
        checked = verify(folder)
        config, shown = _objects(folder / "model.json"), _objects(folder / "example.json")
        weights = load_file(folder / "weights.safetensors")
        _require_format(config.get("format"), checked=checked)
        if config["format"] <= BEFORE_TARGETS:
            config, shown, weights = _with_target(config, shown, weights)
        stored, example = (msgspec.convert(config, StoredModel),
                           msgspec.convert(shown, StoredExample))
        scorer = _build(stored, weights)
        dense = _dense(example, stored)
    except (OSError, msgspec.MsgspecError, SafetensorError, DeclarationError,
            ModelRefused) as error:
        raise ModelRefused(f"model {folder} cannot be loaded: {error}") from error
    if not checked:
        log.warning("model %s was stored before checksums (format %d): it is proved on its example "
                    "alone. Train again to have them", folder, stored.format)
    said, outputs = np.array(example.outputs), scorer.outputs(example.texts, dense)
    if not np.allclose(outputs, said, rtol=0, atol=TOLERANCE * scorer.scale.deviation):
        row, place = np.unravel_index(int(np.argmax(np.abs(outputs - said))), said.shape)
        raise ModelRefused(
            f"model {folder} does not reproduce its stored example: row {row} has "
            f"{scorer.target.outputs[place]} {outputs[row, place]:.6f}, stored "
            f"{said[row, place]:.6f}. Train again, or roll back."
        )
    return scorer


def _objects(path: Path) -> dict[str, Any]:
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])


def _require_format(stored: object, *, checked: bool) -> None:
    if stored not in (FORMAT, BEFORE_TARGETS, BEFORE_CHECKSUMS):
        raise ModelRefused(f"it has format {stored}; this version knows {BEFORE_CHECKSUMS} to "
                           f"{FORMAT}")
    if stored != BEFORE_CHECKSUMS and not checked:
        raise ModelRefused(f"{NAME} is missing, which every model of format {stored} has")


def _with_target(
    config: dict[str, Any], example: dict[str, Any], weights: Mapping[str, Stored]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Stored]]:
    """A model from before targets as it would be stored now."""
    target = {"kind": "binary", "name": "label", "threshold": config.pop("threshold", None)}
    words = f"{NETWORK}{WORDS}"
    return (
        {**config, "target": target, "scale": {}},
        {**{name: value for name, value in example.items() if name != "scores"},
         "outputs": [[score] for score in example.get("scores", [])]},
        {"edges": np.zeros((len(config.get("feature_names", [])), 1), np.float32),
         **{name: value[None] if name == words else value for name, value in weights.items()}},
    )


def _dense(example: StoredExample, stored: StoredModel) -> Floats:
    """The example's numbers (B, D), missing ones NaN. Raises ModelRefused unless they fit."""
    rows, columns = len(example.outputs), len(stored.feature_names)
    if len(example.dense) != rows or any(len(row) != columns for row in example.dense):
        raise ModelRefused(f"its example should have {rows} rows of {columns} numbers")
    width = len(of_json(stored.target).outputs)
    if any(len(row) != width for row in example.outputs):
        raise ModelRefused(f"its example should have {width} outputs in each row")
    columns_read = {field.column for field in stored.fields} | set(stored.categories)
    if missing := columns_read - set(example.texts):
        raise ModelRefused(f"its example lacks the texts {sorted(missing)}")
    if any(len(texts) != rows for texts in example.texts.values()):
        raise ModelRefused(f"its example should have {rows} texts of each column")
    return np.array(
        [[np.nan if x is None else x for x in row] for row in example.dense], dtype=np.float32
    ).reshape(rows, columns)


def _require_possible(stored: StoredModel) -> None:
    """Raise ModelRefused for values that no training writes."""
    if not stored.scale.deviation > 0:
        raise ModelRefused(f"scale.deviation is {stored.scale.deviation}; expected more than 0")
    if stored.buckets < 1 or stored.buckets & (stored.buckets - 1):
        raise ModelRefused(f"buckets is {stored.buckets}; expected a power of two")
    for name in ("hidden", "pieces", "width"):
        if getattr(stored, name) < 0:
            raise ModelRefused(f"{name} is {getattr(stored, name)}; expected at least 0")
    if len(set(stored.feature_names)) < len(stored.feature_names):
        raise ModelRefused(f"a feature occurs twice: {', '.join(stored.feature_names)}")


def _build(stored: StoredModel, weights: Mapping[str, Stored]) -> HashedTextScorer:
    _require_possible(stored)
    target = of_json(stored.target)
    if not (np.asarray(weights.get("deviation", 1)) > 0).all():
        raise ModelRefused("tensor 'deviation' holds numbers that are not above 0")
    edges = require(weights, "edges", (len(stored.feature_names), stored.pieces + 1))
    if (np.diff(edges, axis=1) < 0).any():
        raise ModelRefused("tensor 'edges' holds numbers that do not ascend")
    categories = Vocabularies(known=stored.categories)
    vocabulary, numbers = len(stored.fields) * stored.buckets, len(stored.feature_names)
    return HashedTextScorer(
        target=target, scale=stored.scale, fields=stored.fields,
        feature_names=stored.feature_names, buckets=stored.buckets,
        weighting=NaiveBayesWeights(importance=require(weights, "importance", (vocabulary,))),
        standardiser=Standardiser(mean=require(weights, "mean", (numbers,)),
                                  deviation=require(weights, "deviation", (numbers,))),
        pieces=Pieces(edges=edges), categories=categories,
        weights=Weights.of(
            {name.removeprefix(NETWORK): value
             for name, value in weights.items() if name.startswith(NETWORK)},
            vocabulary=vocabulary, hidden=stored.hidden, logits=target.logits,
            inputs=(2 + stored.pieces) * numbers + stored.width * len(stored.categories),
            categories=categories.sizes, width=stored.width,
        ),
    )
