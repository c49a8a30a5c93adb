"""What is at fault fails alone: the one place that catches whatever an item's work raises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from ml_assets.core.errors import MlAssetsError
from ml_assets.core.texts import storable

T = TypeVar("T")
Given = ParamSpec("Given")

LONGEST_REASON = 500
"""Characters. A message that quotes its cause may be as long as that."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Why the work on one item failed."""

    reason: str

    @classmethod
    def of(cls, error: Exception) -> Fault:
        """Our own errors say all in their message; of others the type is half of it."""
        kind = "" if isinstance(error, MlAssetsError) else f"{type(error).__name__}: "
        return cls(reason=storable(f"{kind}{error}", LONGEST_REASON))


def attempt(
    work: Callable[Given, T], *given: Given.args, **named: Given.kwargs
) -> T | Fault:
    """What `work` gives for one item, or why it gives nothing: whatever it raises is the item's."""
    try:
        return work(*given, **named)
    except Exception as error:
        return Fault.of(error)


def culprits(
    places: Sequence[int], work: Callable[[Sequence[int]], object], *, beside: Sequence[int] = ()
) -> dict[int, Fault]:
    """Which of the items at `places` make `work`, which takes many at once, raise; and why.

    beside: items that do not, with which the others must get along

    Tried by halves: k culprits among n items take about k log n calls. Of items that fail only
    beside each other the first is none.
    """
    if not places:
        return {}
    found = attempt(work, [*beside, *places])
    if not isinstance(found, Fault):
        return {}
    if len(places) == 1:
        return {places[0]: found}
    half = len(places) // 2
    faults = culprits(places[:half], work, beside=beside)
    sound = [place for place in places[:half] if place not in faults]
    return faults | culprits(places[half:], work, beside=[*beside, *sound])
