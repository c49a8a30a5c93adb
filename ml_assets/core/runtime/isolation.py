"""A faulty item fails alone: the one place that catches whatever work on an item raises.

`attempt` and `culprits` give the reason in words, for stored records; `isolate` and
`isolate_in_batch` give the errors themselves, for responses.
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
"""Characters. A message that quotes its cause may be that long."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Why the work on one item failed."""

    reason: str

    @classmethod
    def of(cls, error: Exception) -> Fault:
        """Our own errors say everything in their message; others need their type too."""
        kind = "" if isinstance(error, MlAssetsError) else f"{type(error).__name__}: "
        return cls(reason=storable(f"{kind}{error}", LONGEST_REASON))


def attempt(
    work: Callable[Given, T], *given: Given.args, **named: Given.kwargs
) -> T | Fault:
    """The result of `work` for one item, or why there is none: the item is to blame for errors."""
    try:
        return work(*given, **named)
    except Exception as error:
        return Fault.of(error)


def culprits(
    indices: Sequence[int], work: Callable[[Sequence[int]], object], *, beside: Sequence[int] = ()
) -> dict[int, Fault]:
    """Which of the items at `indices` make `work`, which takes many at once, raise; and why.

    beside: sound items, which the others must be compatible with

    Bisects: k culprits among n items take about k log n calls. If items fail only in combination,
    the first of them counts as sound.
    """
    if not indices:
        return {}
    fault = attempt(work, [*beside, *indices])
    if not isinstance(fault, Fault):
        return {}
    if len(indices) == 1:
        return {indices[0]: fault}
    half = len(indices) // 2
    faults = culprits(indices[:half], work, beside=beside)
    sound = [index for index in indices[:half] if index not in faults]
    return faults | culprits(indices[half:], work, beside=[*beside, *sound])


def isolate(work: Callable[[T], R], items: Iterable[T]) -> list[R | Exception]:
    """The result of `work` for each item, in order; if it raises, the error takes its place.

    For work on single items: decoding bodies, admitting events, querying systems.
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
    """The results of `work` for all items at once; an item that breaks it gets its error alone.

    For work on many items at a time: scoring, logging. A failed batch is repeated, one half after
    the other, down to the culprits; all others get the results they would have got without them.

    work: handles all of its items or, if it raises, none
    undo: called after `work` has raised, before it is called again
    everyones: errors that no single item causes, such as a full disk: raised for all
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
