"""Texts as rows of token ids, for networks that read them in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from zlib import crc32

import numpy as np
import numpy.typing as npt

from ml_assets.training.hashed_text.ngrams import words_of

Ids = npt.NDArray[np.int64]

PADDING = 0
"""The id of no token."""


def token_ids(
    texts: Sequence[str | None], unit: Literal["bytes", "words"], *, length: int, ids: int
) -> Ids:
    """(B, length) the ids of each text's first tokens, from 1 on, then `PADDING`.

    A byte's id is its value and 1; a word's is its CRC-32 folded into ids 1 to `ids` - 1.
    """
    found = np.full((len(texts), length), PADDING, np.int64)
    for row, text in zip(found, texts, strict=True):
        if not text:
            continue
        if unit == "bytes":
            codes = np.frombuffer(text.encode("utf-8", "surrogateescape")[:length], np.uint8)
            row[: len(codes)] = codes.astype(np.int64) + 1
        else:
            words = words_of(text)[:length]
            row[: len(words)] = [1 + crc32(word) % (ids - 1) for word in words]
    return found


def token_count(unit: Literal["bytes", "words"], ids: int) -> int:
    """How many ids there are, padding included."""
    return 257 if unit == "bytes" else ids
