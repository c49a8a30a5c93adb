"""Texts as hashed n-grams: of bytes, or of words.

Texts are hashed together, because the calls and not the bytes cost the time of short ones. What
a text gives does not depend on the others: no n-gram reaches from one into the next.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from string import ascii_letters, digits
from zlib import crc32

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint32]

LONGEST = 24
WORD = re.compile(rf"[\w$'!]{{1,{LONGEST}}}")
_LETTERS = frozenset(f"{ascii_letters}{digits}_$'!".encode())
_LOWER_OR_SPACE = bytes(byte if byte in _LETTERS else ord(" ") for byte in range(256)).lower()
"""For each byte of an ASCII text what `WORD` sees in it: a lower-case letter or a gap."""
MULTIPLIER = np.array(2_654_435_761, np.uint32)
"""Knuth's multiplicative hash (The Art of Computer Programming, volume 3, section 6.4)."""
_OF_FIRST = np.array(31, np.uint32)
"""What the first word of a pair is multiplied by, so that the order of the two counts."""


def byte_grams(texts: Sequence[str]) -> tuple[Hashes, Hashes]:
    """The hashes (N,) of the texts' UTF-8 byte 4-grams, and the place (N,) of the text of each."""
    parts = [text.encode("utf-8", "surrogateescape") for text in texts]
    codes = np.frombuffer(b"".join(parts), np.uint8).astype(np.uint32)
    owners = _owners([len(part) for part in parts])
    grams = codes[:-3] << 24 | codes[1:-2] << 16 | codes[2:-1] << 8 | codes[3:]
    hashes: Hashes = np.multiply(grams, MULTIPLIER)
    if len(parts) == 1:
        return hashes, owners[3:]
    inside = owners[3:] == owners[:-3]
    return hashes[inside], owners[3:][inside]


def word_grams(texts: Sequence[str]) -> tuple[Hashes, Hashes]:
    """The hashes (N,) of the texts' lower-case words and pairs of neighbouring words, and the
    place (N,) of the text of each.
    """
    parts = [words_of(text) for text in texts]
    words = np.fromiter(map(crc32, chain.from_iterable(parts)), np.uint32)
    pairs = words[:-1] * _OF_FIRST
    pairs ^= words[1:]
    if len(parts) == 1:
        hashes = np.concatenate((words, pairs))
        hashes *= MULTIPLIER
        return hashes, np.zeros(len(hashes), np.uint32)
    owners = _owners([len(part) for part in parts])
    inside = owners[1:] == owners[:-1]
    hashes = np.concatenate((words, pairs[inside]))
    hashes *= MULTIPLIER
    return hashes, np.concatenate((owners, owners[1:][inside]))


def words_of(text: str) -> list[bytes]:
    """The lower-case words of a text, in order."""
    if text.isascii():
        # A third of the time of the expression, which also cuts up what is too long.
        words = text.encode().translate(_LOWER_OR_SPACE).split()
        if max(map(len, words), default=0) <= LONGEST:
            return words
    # No word holds a space: all are encoded in one call.
    return " ".join(WORD.findall(text.lower())).encode("utf-8", "surrogateescape").split()


HASHES = {"bytes": byte_grams, "words": word_grams}


def _owners(lengths: Sequence[int]) -> Hashes:
    """0 as often as the first length says, 1 as often as the second, and so on."""
    return np.arange(len(lengths), dtype=np.uint32).repeat(lengths)
