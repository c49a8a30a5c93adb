"""The ids of a slate's rows say which request and which position they are of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.slates import LARGEST_SLATE, REQUEST_LENGTH, request_fault, row_id, split
from ml_assets.core.texts import ID_LENGTH, name_fault

REQUESTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp"), exclude_characters="#"),
    min_size=1, max_size=REQUEST_LENGTH,
)


@given(request_id=REQUESTS, position=st.integers(1, LARGEST_SLATE))
def test_a_row_id_is_an_event_id_and_says_request_and_position(
    request_id: str, position: int
) -> None:
    assert request_fault(request_id) is None
    row = row_id(request_id, position)
    assert name_fault(row, ID_LENGTH) is None
    assert split(row) == (request_id, position)
    assert request_fault(row) is not None


@pytest.mark.parametrize("event_id", [
    "", "r", "#1", "r#", "r#0", "r#01", "r#-1", "r#1001", "r#1#2", "r#1 ",
    "r#\N{ARABIC-INDIC DIGIT ONE}",
])
def test_other_ids_are_of_no_slate(event_id: str) -> None:
    """An event that was predicted alone keeps its id."""
    assert split(event_id) is None


@pytest.mark.parametrize(("request_id", "says"), [
    ("", "is empty"), ("a#b", "has '#'"), ("x" * (REQUEST_LENGTH + 1), "characters"),
    ("a\n", "one line"),
])
def test_what_cannot_name_a_request_is_told_with_the_reason(request_id: str, says: str) -> None:
    assert says in (request_fault(request_id) or "")
