"""An exported network on disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy.typing as npt

from ml_assets.core.errors import ModelRefused
from ml_assets.core.target import Scale, Target
from ml_assets.training.encoding.stored import StoredEncoder, encoder_of
from ml_assets.training.exported.scorer import FILE, OnnxScorer


class StoredOnnx(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `model.json` says of this form."""

    encoder: StoredEncoder
    parameters: int


def build(
    about: Mapping[str, Any], target: Target, scale: Scale, feature_names: tuple[str, ...],
    tensors: Mapping[str, npt.NDArray[Any]], files: Mapping[str, bytes],
) -> OnnxScorer:
    """From the parts that `OnnxScorer.parts` gave. Raises ModelRefused if they do not fit."""
    said = msgspec.convert(about, StoredOnnx)
    scorer = OnnxScorer(
        target=target, scale=scale, parameters=said.parameters, network=files.get(FILE, b""),
        encoder=encoder_of(said.encoder, feature_names, tensors))
    problem = scorer.problem
    if problem is not None:
        raise ModelRefused(problem)
    return scorer
