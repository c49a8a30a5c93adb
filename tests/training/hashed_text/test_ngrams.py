"""Laws of the n-grams of texts."""

from __future__ import annotations

from itertools import pairwise
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.training.hashed_text.ngrams import HASHES, MULTIPLIER, WORD, byte_grams, word_grams


@pytest.mark.parametrize("unit", HASHES)
@given(texts=st.lists(st.text() | st.text("ab \udce9", max_size=5), max_size=6))
def test_a_text_gives_the_same_hashes_alone_and_among_others(
    unit: str, texts: list[str]
) -> None:
    """No n-gram reaches from one text into the next."""
    hashes, owners = HASHES[unit](texts)
    for place, text in enumerate(texts):
        alone, zeros = HASHES[unit]([text])
        assert not zeros.any()
        np.testing.assert_array_equal(np.sort(hashes[owners == place]), np.sort(alone))


def test_a_text_has_as_many_byte_grams_as_it_has_places_for_them() -> None:
    """n bytes have n - 3 4-grams; fewer than four bytes have none."""
    assert byte_grams(["abcdefg", "ab", "", "abcde"])[1].tolist() == [0, 0, 0, 0, 3, 3]
    assert byte_grams([])[0].tolist() == []


@given(
    st.text()
    | st.text(st.characters(max_codepoint=127))
    | st.lists(st.sampled_from(["Pay", "$9", "it's", "x" * 24, "Y" * 25, "z" * 60, "\x1c", "É"]))
    .map(" ".join)
)
def test_words_are_hashed_by_crc32_one_by_one(text: str) -> None:
    """The hashes that stored models were trained on: they must never change."""
    words = [crc32(word.encode()) for word in WORD.findall(text.lower())]
    pairs = [a * 31 ^ b for a, b in pairwise(words)]
    expected = [one * int(MULTIPLIER) % 2**32 for one in words + pairs]
    assert sorted(word_grams([text])[0].tolist()) == sorted(expected)
