"""Laws of the inputs of the network."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ml_assets.core.system import TextField
from ml_assets.training.encoders import (
    Bags,
    NaiveBayesWeights,
    Standardiser,
    byte_grams,
    encode_texts,
)

FIELDS = (TextField(column="note"), TextField(column="note", unit="words"))
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


def test_a_text_has_as_many_byte_grams_as_it_has_places_for_them() -> None:
    """n bytes have n - 3 4-grams; fewer than four bytes have none."""
    assert len(byte_grams("abcdefg")) == 4
    assert len(byte_grams("ab")) == 0


def test_a_lone_surrogate_is_encoded_and_does_not_raise() -> None:
    """Undecodable bytes of real mail reach the encoder as surrogates."""
    assert encode_texts(FIELDS, {"note": ["caf\udce9 au lait"]}, BUCKETS, rows=1).offsets[-1] > 0


def test_weighted_bags_have_length_one_or_are_empty() -> None:
    """After naive-Bayes weighting a bag is normalised; unseen n-grams weigh nothing."""
    texts = {"note": ["cheap pills", "see you at lunch", ""]}
    bags = encode_texts(FIELDS, texts, BUCKETS, rows=3)
    labels = np.array([True, False, False])
    weighted = NaiveBayesWeights.fit(bags, labels, len(FIELDS) * BUCKETS)(bags)
    lengths = np.sqrt(np.add.reduceat(weighted.weights[: weighted.offsets[4]] ** 2,
                                      weighted.offsets[:4]))
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)
    assert weighted.offsets[4] == weighted.offsets[-1]


def test_an_ngram_that_occurs_in_one_class_only_weighs_more_than_a_shared_one() -> None:
    """The weight is the distance between the classes, whichever has more of it."""
    words = (TextField(column="note", unit="words"),)
    bags = encode_texts(words, {"note": ["pills now"] * 4 + ["lunch now"] * 4}, BUCKETS, rows=8)
    labels = np.array([True] * 4 + [False] * 4)
    importance = NaiveBayesWeights.fit(bags, labels, BUCKETS).importance
    once = encode_texts(words, {"note": ["pills", "lunch", "now"]}, BUCKETS, rows=3).buckets
    pills, lunch, now = importance[once]
    assert pills > 1 and lunch > 1 and now < 0.1


@given(hnp.arrays(np.float32, (6, 3), elements=st.floats(-1e6, 1e6, width=32)
                  | st.just(float("nan"))))
def test_standardised_inputs_are_finite_bounded_and_say_what_was_missing(
    dense: np.ndarray[tuple[int, int], np.dtype[np.float32]],
) -> None:
    """(B, D) becomes (B, 2D): values within 5 deviations, then 1 where there was none."""
    inputs = Standardiser.fit(dense)(dense)
    assert inputs.shape == (6, 6)
    assert np.abs(inputs[:, :3]).max() <= 5
    np.testing.assert_array_equal(inputs[:, 3:], np.isnan(dense))
