"""What can go wrong between Feast and Dagster, each also a standard type."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DagsterFeastError(Exception):
    """Base of all errors that this package raises on purpose."""


class FeastRepoError(DagsterFeastError, RuntimeError):
    """The feature repository cannot be read or applied. It ends with Feast's own words."""


class UnknownFeastName(DagsterFeastError, LookupError):
    """Something was asked for by a name that the repository does not declare."""


class FeastDeclarationError(DagsterFeastError, ValueError):
    """What was asked of the bridge makes no sense. The message says what would."""


class FeastWarning(UserWarning):
    """Feast will silently do something other than what the repository seems to say."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownFeastName:
    """An error that offers the closest known names."""
    options = sorted(known)
    closest = difflib.get_close_matches(name, options, n=3, cutoff=0.4)
    if closest:
        offer = f"Closest: {', '.join(closest)}."
    else:
        offer = f"Known: {', '.join(options) or 'none'}."
    return UnknownFeastName(f"the feature repository declares no {kind} {name!r}. {offer}")
