"""Models on disk: safetensors and a typed JSON config, never a pickle.

A stored model carries an example with its outputs; loading replays it, so a file that was
damaged, or code that has changed meaning, is refused instead of served.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ml_assets.core.declaration import closest, listed
from ml_assets.core.errors import DeclarationError, ModelRefused
from ml_assets.core.storage.checksums import NAME, verify, write_checksums
from ml_assets.core.storage.files import make_folder, replacing, write_atomically
from ml_assets.core.target import Scale
from ml_assets.targets.stored import as_json, of_json
from ml_assets.training.exported import stored as onnx
from ml_assets.training.exported.scorer import FILE
from ml_assets.training.exported.scorer import FORM as ONNX
from ml_assets.training.hashed_text import stored as hashed_text
from ml_assets.training.hashed_text.scorer import FORM as HASHED_TEXT
from ml_assets.training.hashed_text.scorer import NETWORK
from ml_assets.training.hashed_text.weights import WORDS
from ml_assets.training.scored import Floats, TrainedScorer

Stored = npt.NDArray[Any]

FORMAT = 4
"""Since 2 each file has a checksum, since 3 a model says its target, since 4 its form. Those of
before answered whether something is True; those without a form are of hashed texts."""
BEFORE_CHECKSUMS, BEFORE_TARGETS, BEFORE_FORMS = 1, 2, 3
FORMS: dict[str, Callable[..., TrainedScorer]] = {
    HASHED_TEXT: hashed_text.build, ONNX: onnx.build}
FILES = {ONNX: (FILE,)}
"""Of each form, beside those that all have."""
log = logging.getLogger(__name__)
STATE = "network.safetensors"
"""A network's own weights, for who has torch."""
TOLERANCE = 1e-5
"""Runtimes and processors agree to about this in float32."""


class StoredBase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `model.json` says of every model; the rest is its form's."""

    target: dict[str, Any]
    scale: Scale
    feature_names: tuple[str, ...]


class StoredExample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`example.json`: a few rows and the outputs that the model gave them when it was saved."""

    texts: dict[str, list[str]]
    dense: list[list[float | None]]
    outputs: list[list[float]]


def save(
    scorer: TrainedScorer, folder: Path, *, texts: Mapping[str, Sequence[str]], dense: Floats,
    state: Mapping[str, Stored] | None = None,
) -> None:
    """Write the model into `folder`, with the given rows (a handful) as its example.

    state: the network's own weights, for who has torch; stored unless the form holds them anyway
    """
    make_folder(folder)
    parts = scorer.parts
    with replacing(folder / "weights.safetensors") as temporary:
        save_file(dict(parts.tensors), temporary)
    if state is not None and not any(name.startswith(NETWORK) for name in parts.tensors):
        with replacing(folder / STATE) as temporary:
            save_file({name: np.ascontiguousarray(each) for name, each in state.items()}, temporary)
    for name, content in parts.files.items():
        write_atomically(folder / name, content)
    stored = {
        "format": FORMAT, "form": parts.form, "target": as_json(scorer.target),
        "scale": msgspec.to_builtins(scorer.scale), "feature_names": scorer.feature_names,
        **parts.about,
    }
    write_atomically(folder / "model.json", msgspec.json.format(msgspec.json.encode(stored)))
    example = StoredExample(
        texts={column: list(texts[column]) for column in scorer.texts},
        dense=[[None if np.isnan(x) else float(x) for x in row] for row in dense],
        outputs=scorer.outputs(texts, dense).tolist(),
    )
    write_atomically(folder / "example.json", msgspec.json.encode(example))
    write_checksums(folder)


def load(folder: Path) -> TrainedScorer:
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
        stored = config.pop("format", None)
        _require_format(stored, checked=checked)
        if stored <= BEFORE_TARGETS:
            config, shown, weights = _with_target(config, shown, weights)
        scorer = _build(config, weights, folder)
        example = msgspec.convert(shown, StoredExample)
        dense = _dense(example, scorer)
    except (OSError, msgspec.MsgspecError, SafetensorError, DeclarationError,
            ModelRefused) as error:
        raise ModelRefused(f"model {folder} cannot be loaded: {error}") from error
    if not checked:
        log.warning("model %s was stored before checksums (format %d): it is proved on its example "
                    "alone. Train again to have them", folder, stored)
    said, outputs = np.array(example.outputs), scorer.outputs(example.texts, dense)
    if outputs.shape != said.shape or not np.all(
            scorer.target.apart(outputs, said, scorer.scale) <= TOLERANCE):
        row, place = np.unravel_index(int(np.argmax(np.abs(outputs - said))), said.shape)
        raise ModelRefused(
            f"model {folder} does not reproduce its stored example: row {row} has "
            f"{scorer.target.outputs[place]} {outputs[row, place]:.6f}, stored "
            f"{said[row, place]:.6f}. Train again, or roll back."
        )
    return scorer


def example(folder: Path, scorer: TrainedScorer) -> tuple[StoredExample, Floats]:
    """The rows stored with a model that `load` gave: (texts and outputs, numbers (B, D))."""
    shown = _objects(folder / "example.json")
    if "scores" in shown:  # of before targets
        shown = {"texts": shown["texts"], "dense": shown["dense"],
                 "outputs": [[score] for score in shown["scores"]]}
    stored = msgspec.convert(shown, StoredExample)
    return stored, _dense(stored, scorer)


def _objects(path: Path) -> dict[str, Any]:
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])


def _require_format(stored: object, *, checked: bool) -> None:
    if stored not in (FORMAT, BEFORE_FORMS, BEFORE_TARGETS, BEFORE_CHECKSUMS):
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


def _build(
    config: dict[str, Any], weights: Mapping[str, Stored], folder: Path
) -> TrainedScorer:
    form = config.pop("form", HASHED_TEXT)
    if form not in FORMS:
        raise ModelRefused(f"its form is {form!r}; expected {listed(FORMS)}.{closest(form, FORMS)}")
    base = {name: config.pop(name, None) for name in ("target", "scale", "feature_names")}
    said = msgspec.convert(base, StoredBase)
    if not said.scale.deviation > 0:
        raise ModelRefused(f"scale.deviation is {said.scale.deviation}; expected more than 0")
    if len(set(said.feature_names)) < len(said.feature_names):
        raise ModelRefused(f"a feature occurs twice: {', '.join(said.feature_names)}")
    files = {name: (folder / name).read_bytes() for name in FILES.get(form, ())}
    return FORMS[form](config, of_json(said.target), said.scale, said.feature_names, weights,
                       files)


def _dense(example: StoredExample, scorer: TrainedScorer) -> Floats:
    """The example's numbers (B, D), missing ones NaN. Raises ModelRefused unless they fit."""
    rows, columns = len(example.outputs), len(scorer.feature_names)
    if len(example.dense) != rows or any(len(row) != columns for row in example.dense):
        raise ModelRefused(f"its example should have {rows} rows of {columns} numbers")
    width = len(scorer.target.outputs)
    if any(len(row) != width for row in example.outputs):
        raise ModelRefused(f"its example should have {width} outputs in each row")
    if missing := set(scorer.texts) - set(example.texts):
        raise ModelRefused(f"its example lacks the texts {sorted(missing)}")
    if any(len(texts) != rows for texts in example.texts.values()):
        raise ModelRefused(f"its example should have {rows} texts of each column")
    return np.array(
        [[np.nan if x is None else x for x in row] for row in example.dense], dtype=np.float32
    ).reshape(rows, columns)
