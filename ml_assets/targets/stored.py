"""Targets as JSON objects, so that a stored model says what its outputs mean, and the outputs
that log and lake hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from ml_assets.core.declaration import closest, listed
from ml_assets.core.errors import DeclarationError
from ml_assets.core.target import Floats, Target
from ml_assets.targets.binary import Binary
from ml_assets.targets.classes import Classes
from ml_assets.targets.number import Number
from ml_assets.targets.ranking import Ranking

KINDS: dict[str, type[Target]] = {
    kind.kind: kind for kind in (Binary, Classes, Number, Ranking)}


def as_json(target: Target) -> dict[str, Any]:
    """A JSON object of its kind and all its fields."""
    stored: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(target))
    return {"kind": target.kind, **stored}


def of_json(description: Mapping[str, Any]) -> Target:
    """The inverse of `as_json`. Raises DeclarationError if it describes no target."""
    fields = dict(description)
    name = fields.pop("kind", None)
    kind = KINDS.get(str(name))
    if kind is None:
        raise DeclarationError(f"the target's kind is {name!r}; expected {listed(KINDS)}."
                               f"{closest(name, KINDS)}")
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise DeclarationError(f"this is no {name} target: {error}") from error


def kept_outputs(
    target: Target, scores: Sequence[float], outputs: Sequence[Sequence[float] | None]
) -> Floats:
    """The outputs (N, W) of N rows of log or lake; with one output, it is the score.

    A row of a model that had one, when there are more now, has NaN for the others.
    """
    width = len(target.outputs)
    if width == 1:
        return np.asarray(scores, dtype=np.float64).reshape(-1, 1)
    unknown = [np.nan] * (width - 1)
    rows = [list(each) if each is not None and len(each) else [score, *unknown]
            for score, each in zip(scores, outputs, strict=True)]
    return np.array(rows, dtype=np.float64).reshape(-1, width)
