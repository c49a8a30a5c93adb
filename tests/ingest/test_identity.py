"""Texts are equal where the log says so: to the last code point, in every merge."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.ingest.identity import merge_exactly, of_events, of_labels
from tests.toy import TOY

LIVE = TOY.calendar.live_from
HARD = ["x\0a", "x\0b", "x", "x ", "X", "é", "e\u0301", "\0", "", "日本"]


@given(st.lists(st.sampled_from(HARD), unique=True), st.lists(st.sampled_from(HARD)))
def test_a_merge_finds_what_python_finds(names: list[str], asked: list[str]) -> None:
    """Old logs hold ids with a NUL, which pandas takes for the same after it."""
    right = pd.DataFrame({"event_id": pd.Series(names, dtype=object), "n": range(len(names))})
    left = pd.DataFrame({"event_id": pd.Series(asked, dtype=object)})
    found = merge_exactly(left, right, on=["event_id"], one=True)
    known = {name: n for n, name in enumerate(names)}
    assert list(zip(found["event_id"], found["n"], strict=True)) == [
        (name, known[name]) for name in asked if name in known]


def test_several_rows_for_one_are_an_error_where_one_is_expected() -> None:
    rows = pd.DataFrame({"event_id": ["a", "a"], "n": [1, 2]})
    with pytest.raises(pd.errors.MergeError):
        merge_exactly(rows, rows, on=["event_id"], one=True)
    assert len(merge_exactly(rows, rows, on=["event_id", "n"])) == 2


def test_an_id_of_the_archive_that_is_posted_again_names_another_event() -> None:
    events = pd.DataFrame({
        "event_id": ["a", "a"], "accepted_at": [LIVE - pd.Timedelta("1us"), LIVE]})
    labels = pd.DataFrame({"event_id": ["a", "a"], "basis": ["archive", "silence"]})
    assert of_events(events, LIVE).tolist() == of_labels(labels).tolist()
    assert of_labels(labels).is_unique
