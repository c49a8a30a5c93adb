"""Texts as numbers in a feature vector: stable codes that a float32 holds exactly.

A feature vector is float32. A feature whose value is a text or a category is in it as its code, in
every process, on every machine and in every version: training, serving and parity compare codes bit
by bit, and stored models have learnt them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

CODES = 2**24 - 1
"""Codes are 1 to CODES: float32 holds every whole number up to 2**24."""

_REMEMBERED = 1 << 14


@lru_cache(maxsize=_REMEMBERED)
def code_of(text: str) -> int:
    """The code of `text`, 1 to CODES: its MD5's lower half (as an integer, little-endian), folded.

    In DuckDB: `md5_number_lower(text) % 16777215 + 1`. Different texts may share a code: of 1,000
    two do with a probability of 3%, of 100 with 0.03%. An empty text has a code too.
    """
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[8:], "little") % CODES + 1


def codes_of(texts: Sequence[str | None]) -> npt.NDArray[np.float64]:
    """The codes (n) of n texts; NaN where one is missing."""
    known: dict[str | None, float] = {None: np.nan}
    for text in dict.fromkeys(texts):
        if text is not None:
            known[text] = code_of(text)
    return np.fromiter((known[text] for text in texts), np.float64, len(texts))
