"""Targets as JSON objects, so that a stored model says what its outputs mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ml_assets.core.declaration import closest, listed
from ml_assets.core.errors import DeclarationError
from ml_assets.core.target import Target
from ml_assets.targets.binary import Binary
from ml_assets.targets.classes import Classes
from ml_assets.targets.number import Number

KINDS: dict[str, type[Target]] = {kind.kind: kind for kind in (Binary, Classes, Number)}


def described(target: Target) -> dict[str, Any]:
    """A JSON object of its kind and all its fields."""
    return {"kind": target.kind, **msgspec.to_builtins(target)}


def restored(description: Mapping[str, Any]) -> Target:
    """The inverse of `described`. Raises DeclarationError if it describes no target."""
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
