"""Texts as hashed n-grams: of bytes, or of words.

Texts are hashed together, because the calls and not the bytes cost the time of short ones. What
a text gives does not depend on the others: no n-gram reaches from one into the next.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from zlib import crc32

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint32]

WORD = re.compile(r"[\w$'!]{1,24}")
MULTIPLIER = np.uint32(2_654_435_761)
"""Knuth's multiplicative hash (The Art of Computer Programming, volume 3, section 6.4)."""


def byte_grams(texts: Sequence[str]) -> tuple[Hashes, Hashes]:
    """The hashes (N,) of the texts' UTF-8 byte 4-grams, and the place (N,) of the text of each."""
    parts = [text.encode("utf-8", "surrogateescape") for text in texts]
    codes = np.frombuffer(b"".join(parts), np.uint8).astype(np.uint32)
    owners = _owners([len(part) for part in parts])
    grams = codes[:-3] << 24 | codes[1:-2] << 16 | codes[2:-1] << 8 | codes[3:]
    inside = owners[3:] == owners[:-3]
    return grams[inside] * MULTIPLIER, owners[3:][inside]


def word_grams(texts: Sequence[str]) -> tuple[Hashes, Hashes]:
    """The hashes (N,) of the texts' lower-case words and pairs of neighbouring words, and the
    place (N,) of the text of each.
    """
    parts = [WORD.findall(text.lower()) for text in texts]
    # No word holds a space: all are encoded in one call.
    joined = " ".join(chain.from_iterable(parts)).encode("utf-8", "surrogateescape")
    words = np.array(list(map(crc32, joined.split())), dtype=np.uint32)
    owners = _owners([len(part) for part in parts])
    inside = owners[1:] == owners[:-1]
    pairs = (words[:-1] * np.uint32(31) ^ words[1:])[inside]
    return np.concatenate([words, pairs]) * MULTIPLIER, np.concatenate([owners, owners[1:][inside]])


HASHES = {"bytes": byte_grams, "words": word_grams}


def _owners(lengths: Sequence[int]) -> Hashes:
    """0 as often as the first length says, 1 as often as the second, and so on."""
    return np.repeat(np.arange(len(lengths), dtype=np.uint32), lengths)
