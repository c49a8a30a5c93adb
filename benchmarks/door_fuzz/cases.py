"""Requests as raw bytes, most of them hostile; each depends only on the seed and its number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from benchmarks.door_fuzz import bodies, heads
from benchmarks.door_fuzz.drawing import Draw

KINDS: dict[str, tuple[Callable[[Draw], bytes], int]] = {
    "sound": (bodies.sound, 40), "any body": (bodies.any_body, 100),
    "mutated body": (bodies.mutated_body, 180), "hostile JSON": (bodies.hostile_json, 220),
    "foreign encoding": (bodies.foreign_encoding, 40), "at the limits": (bodies.large, 3),
    "raw bytes": (heads.raw_bytes, 60), "mutated request": (heads.mutated_request, 100),
    "wrong length": (heads.wrong_length, 50), "chunked": (heads.chunked, 50),
    "odd headers": (heads.odd_headers, 80), "odd request line": (heads.odd_line, 60),
    "scores": (heads.scores, 30),
}
"""Each kind's generator, and its share of the cases."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is sent on its own connection. kind: the generator that made it."""

    number: int
    kind: str
    sent: bytes


def case(seed: int, number: int, known: Sequence[str]) -> Case:
    """The case of this number.

    known: ids of predictions that exist; each case names at most the one at its number's place
    """
    random = Random(f"{seed}:{number}")
    kind = random.choices(list(KINDS), [weight for _, weight in KINDS.values()])[0]
    make = KINDS[kind][0]
    return Case(number=number, kind=kind, sent=make(Draw(random, number, known)))
