"""What is at fault fails alone: the one place that catches whatever an item's work raises.

`attempt` and `culprits` say why in words, for records that are kept; `isolate` and
`isolate_in_batch` give the errors themselves, for answers that are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from ml_assets.core.errors import MlAssetsError
from ml_assets.core.texts import storable

T = TypeVar("T")
R = TypeVar("R")
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


def isolate(work: Callable[[T], R], items: Iterable[T]) -> list[R | Exception]:
    """What `work` makes of each item, in order; where it raises, the error in that item's place.

    For what is done to items one by one: bodies that are decoded, events that are admitted,
    systems that are asked.
    """
    done: list[R | Exception] = []
    for item in items:
        try:
            done.append(work(item))
        except Exception as error:
            done.append(error)
    return done


def isolate_in_batch(
    work: Callable[[Sequence[T]], Sequence[R]],
    items: Sequence[T],
    *,
    undo: Callable[[], object] = lambda: None,
    everyones: tuple[type[Exception], ...] = (),
) -> list[R | Exception]:
    """What `work` makes of all items at once; an item on which it breaks gets its error, alone.

    For what is done to items together: scored, logged. A batch that fails is done again, one
    half after the other, down to the culprits; all others get what they would have got without
    them.

    work: does all of its items or, if it raises, none
    undo: called after `work` has raised, before it is called again
    everyones: errors that are no item's own, such as a full disk: raised, for all
    """
    try:
        return list(work(items))
    except Exception as error:
        undo()
        if isinstance(error, everyones):
            raise
        if len(items) == 1:
            return [error]
    half = len(items) // 2
    return [
        answer for some in (items[:half], items[half:])
        for answer in isolate_in_batch(work, some, undo=undo, everyones=everyones)
    ]
