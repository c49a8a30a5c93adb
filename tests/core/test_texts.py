"""What may come in as a text, and what may name something."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.texts import (
    NAME,
    as_name,
    is_text,
    name_fault,
    shown,
    storable,
    text_fault,
)

any_text = st.text(st.characters(exclude_categories=[])) | st.text(
    st.sampled_from("a \0\n\r\t\x1f\x7f\x85\x9f\u2028\u2029\ud800\udfff\ufeffé"), max_size=6
)


@pytest.mark.parametrize(
    "name", ["a", " a ", "é", "e\u0301", "日本", "\U0001f600", "", "A", "a" * 9]
)
def test_a_text_of_one_line_is_a_name(name: str) -> None:
    assert name_fault(name, 9) is None


@pytest.mark.parametrize(
    "text", ["x\0a", "\n", "a\n", "a\r", "\x1b[31m", "\x7f", "\x85", "\u2028", "\ud800", "a" * 10]
)
def test_what_is_cut_split_or_lost_somewhere_is_no_name(text: str) -> None:
    assert name_fault(text, 9) is not None


@given(any_text)
def test_whatever_is_no_text_cannot_be_encoded_and_is_told_in_what_can(text: str) -> None:
    encodes = "\ud800" not in text and not any("\ud800" <= each <= "\udfff" for each in text)
    assert is_text(text) == encodes == (text_fault(text) is None)
    for message in (text_fault(text), name_fault(text, 3), shown(text), storable(text, 3)):
        assert (message or "").encode() is not None


@given(any_text, st.integers(0, 8))
def test_what_is_made_a_name_is_one_and_a_name_stays_as_it_is(text: str, longest: int) -> None:
    made = as_name(text, longest)
    assert name_fault(made, longest) is None
    assert made == text or name_fault(text, longest) is not None


@given(st.lists(any_text.filter(lambda text: name_fault(text, 50) is None), max_size=8))
def test_names_that_differ_differ_for_pandas_too(names: list[str]) -> None:
    """It hashes texts up to a NUL; without one its answer is Python's."""
    assert len(pd.factorize(pd.Series(names, dtype=object))[1]) == len(set(names))


def test_the_pattern_means_the_same_to_a_search_and_to_a_match() -> None:
    for text in ("a\n", "\na", "a\0"):
        assert re.search(NAME, text) is None and re.match(NAME, text) is None
