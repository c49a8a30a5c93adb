"""The encoder of a model that begins as another: what it knew keeps its meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ml_assets.core.errors import ModelRefused
from ml_assets.training.encoding.codebook import Codebook
from ml_assets.training.encoding.encoder import Encoder

SAME = ("numbers", "text_inputs", "sequences", "of", "ids", "vectors")
"""What both must read alike."""


def extended(before: Encoder, learnt: Encoder) -> Encoder:
    """Numbers are scaled as `before` does, and each value of a category that it knew has the row
    that it had; those that only `learnt` knows have rows after them.

    Raises ModelRefused, by name, for what does not fit.
    """
    for name in SAME:
        then, now = getattr(before, name), getattr(learnt, name)
        if then != now:
            raise ModelRefused(f"its {name} were {then or 'none'}, now they are {now or 'none'}")
    return replace(
        learnt, standardiser=before.standardiser,
        categories=_extended(before.categories, learnt.categories),
        codebooks=_extended(before.codebooks, learnt.codebooks))


def grown(before: Encoder, now: Encoder) -> frozenset[tuple[int, int]]:
    """(rows then, rows now) of the tables that became longer."""
    pairs = [*((book, now.categories[name]) for name, book in before.categories.items()),
             *((book, now.codebooks[name]) for name, book in before.codebooks.items())]
    return frozenset((then.size, after.size) for then, after in pairs if after.size > then.size)


def _extended(
    before: Mapping[str, Codebook], learnt: Mapping[str, Codebook]
) -> dict[str, Codebook]:
    if list(before) != list(learnt):
        raise ModelRefused(f"its categories were {', '.join(before) or 'none'}, now they are "
                           f"{', '.join(learnt) or 'none'}")
    found = {}
    for name, book in before.items():
        try:
            found[name] = book.extended(learnt[name])
        except ModelRefused as error:
            raise ModelRefused(f"its table of {name!r} {error}") from None
    return found
