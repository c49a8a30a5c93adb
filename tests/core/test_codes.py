"""Codes: what a text is in a feature vector."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.codes import CODES, code_of, codes_of

TEXTS = st.text(st.characters(codec="utf-8"))


@pytest.mark.parametrize(("text", "code"), [
    ("", 191429), ("red", 4933751), ("rot und grün", 10801034), ("映画", 13382847),
])
def test_the_code_of_a_text_never_changes(text: str, code: int) -> None:
    """Stored models have learnt these."""
    assert code_of(text) == code


@given(TEXTS)
def test_a_code_is_exact_as_float32_and_never_zero(text: str) -> None:
    code = code_of(text)
    assert 1 <= code <= CODES
    assert int(np.float32(code)) == code


@given(st.lists(TEXTS | st.none()))
def test_many_texts_have_the_codes_of_each_and_missing_ones_none(texts: list[str | None]) -> None:
    codes = codes_of(texts)
    assert codes.shape == (len(texts),)
    for text, code in zip(texts, codes.tolist(), strict=True):
        assert (np.isnan(code) if text is None else code == code_of(text))


def test_a_query_of_duckdb_can_say_the_same() -> None:
    texts = ["", "red", "rot und grün", "映画"]
    said = duckdb.execute(
        "select md5_number_lower(t) % 16777215 + 1 from (select unnest(?) as t)", [texts]
    ).fetchall()
    assert [code for (code,) in said] == [code_of(text) for text in texts]
