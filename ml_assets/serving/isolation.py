"""What is at fault fails alone: the one place that keeps a fault from its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


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
