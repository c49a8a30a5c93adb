"""Laws of the inputs of the network."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.model import Text
from ml_assets.training.hashed_text import bags as encoders
from ml_assets.training.hashed_text.bags import (
    Bags,
    NaiveBayesWeights,
    encode_texts,
    encoded_blocks,
    sums,
)

FIELDS = (Text("note"), Text("note", unit="words"))
BUCKETS = 2**10


def bags_of(bags: Bags, row: int, field: int) -> dict[int, float]:
    start, end = bags.offsets[row * len(FIELDS) + field : row * len(FIELDS) + field + 2]
    weights = bags.weights[start:end].tolist()
    return dict(zip(bags.buckets[start:end].tolist(), weights, strict=True))


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_a_row_is_encoded_the_same_alone_and_in_a_batch(texts: list[str]) -> None:
    """Serving scores one row, training thousands: the inputs must not depend on that."""
    together = encode_texts(FIELDS, {"note": texts}, BUCKETS, rows=len(texts))
    for row, text in enumerate(texts):
        alone = encode_texts(FIELDS, {"note": [text]}, BUCKETS, rows=1)
        for field in range(len(FIELDS)):
            assert bags_of(alone, 0, field) == bags_of(together, row, field)


@given(st.text())
def test_fields_hash_into_ranges_of_their_own(text: str) -> None:
    """Field f uses the buckets [f * B, (f+1) * B) and no others."""
    bags = encode_texts(FIELDS, {"note": [text]}, BUCKETS, rows=1)
    for field in range(len(FIELDS)):
        used = bags_of(bags, 0, field)
        assert all(field * BUCKETS <= bucket < (field + 1) * BUCKETS for bucket in used)


@given(st.lists(st.text(max_size=20), max_size=8), st.integers(1, 30))
def test_the_bags_are_the_same_whatever_is_encoded_together(texts: list[str], block: int) -> None:
    """Rows are encoded in blocks of some length: where one ends must show nowhere."""
    whole = encode_texts(FIELDS, {"note": texts}, BUCKETS, rows=len(texts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoders, "BLOCK", block)
        parts = list(encoded_blocks(FIELDS, {"note": texts}, BUCKETS, rows=len(texts)))
        again = encode_texts(FIELDS, {"note": texts}, BUCKETS, rows=len(texts))
    assert [row for rows, _ in parts for row in range(rows.start, rows.stop)] == [
        *range(len(texts))
    ]
    for part in ("buckets", "weights", "offsets"):
        assert getattr(again, part).dtype == getattr(whole, part).dtype
        np.testing.assert_array_equal(getattr(again, part), getattr(whole, part))


def test_blocks_are_no_longer_than_32_bits_can_number() -> None:
    """Two fields of 2^30 buckets leave room for two rows in a number of 32 bits."""
    blocks = encoded_blocks(FIELDS, {"note": ["see you"] * 5}, 2**30, rows=5)
    assert [(rows.start, rows.stop) for rows, _ in blocks] == [(0, 2), (2, 4), (4, 5)]


def test_a_gram_that_occurs_k_times_weighs_one_plus_the_logarithm_of_k() -> None:
    """Once is 1, thrice is 1 + log 3."""
    words = (Text("note", unit="words"),)
    bags = encode_texts(words, {"note": ["no", "no no no"]}, BUCKETS, rows=2)
    pair = float(1 + np.log(2))
    assert bags.weights[0] == 1
    np.testing.assert_allclose(np.sort(bags.weights[1:]), [pair, 1 + np.log(3)], rtol=1e-6)


def test_what_a_gram_weighs_is_the_same_looked_up_and_computed() -> None:
    """To the bit: a short text is looked up, one of more n-grams than the table is computed."""
    words = (Text("note", unit="words"),)
    for times in (1, 2, 3, 7, 100, 1000):
        text = "no " * times
        looked_up = encode_texts(words, {"note": [text]}, BUCKETS, rows=1)
        long = encode_texts(words, {"note": [text, "so " * 9000]}, BUCKETS, rows=2)
        assert looked_up.weights.tolist() == long.weights[: long.offsets[1]].tolist()


@given(st.lists(st.lists(st.floats(-1e6, 1e6), max_size=20), max_size=6))
def test_the_sum_of_a_bag_is_that_of_the_bag_alone(bags: list[list[float]]) -> None:
    """To the bit, and an empty bag has the sum 0."""
    owners = np.repeat(np.arange(len(bags)), [len(bag) for bag in bags])
    together = sums(np.array([x for bag in bags for x in bag]), owners, len(bags))
    alone = [sums(np.array(bag), np.zeros(len(bag), np.int64), 1)[0] for bag in bags]
    assert together.tolist() == alone
    assert all(total == 0 for total, bag in zip(alone, bags, strict=True) if not bag)


def test_a_lone_surrogate_is_encoded_and_does_not_raise() -> None:
    """Undecodable bytes of real mail reach the encoder as surrogates."""
    assert encode_texts(FIELDS, {"note": ["caf\udce9 au lait"]}, BUCKETS, rows=1).offsets[-1] > 0


def test_weighted_bags_have_length_one_or_are_empty() -> None:
    """After naive-Bayes weighting a bag is normalised; unseen n-grams weigh nothing."""
    texts = {"note": ["cheap pills", "see you at lunch", ""]}
    bags = encode_texts(FIELDS, texts, BUCKETS, rows=3)
    groups = np.array([1, 0, 0])
    weighted = NaiveBayesWeights.fit(bags, groups, len(FIELDS) * BUCKETS)(bags)
    lengths = np.sqrt(np.add.reduceat(weighted.weights[: weighted.offsets[4]] ** 2,
                                      weighted.offsets[:4]))
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)
    assert weighted.offsets[4] == weighted.offsets[-1]


def test_an_ngram_that_occurs_in_one_class_only_weighs_more_than_a_shared_one() -> None:
    """The weight is the distance between the classes, whichever has more of it."""
    words = (Text("note", unit="words"),)
    bags = encode_texts(words, {"note": ["pills now"] * 4 + ["lunch now"] * 4}, BUCKETS, rows=8)
    groups = np.array([1] * 4 + [0] * 4)
    importance = NaiveBayesWeights.fit(bags, groups, BUCKETS).importance
    once = encode_texts(words, {"note": ["pills", "lunch", "now"]}, BUCKETS, rows=3).buckets
    pills, lunch, now = importance[once]
    assert pills > 1 and lunch > 1 and now < 0.1
