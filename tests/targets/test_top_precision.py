"""How many of each day's highest groups are right, beside a loop that counts them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.errors import DeclarationError
from ml_assets.core.target import Bools, Floats
from ml_assets.targets import Binary, TopPrecision

DAY_ONE = np.datetime64("2024-03-01", "us")
Sample = list[tuple[int, int, int, bool]]
samples = st.lists(
    st.tuples(st.integers(0, 3), st.integers(-1, 6), st.integers(0, 999), st.booleans()),
    min_size=1, max_size=60, unique_by=lambda row: row[2])
"""(day, group, score, label); no two scores are equal, and group -1 is none."""


def measured(sample: Sample, top: TopPrecision, weights: Floats | None = None) -> float:
    days, group, scores, labels = map(np.array, zip(*sample, strict=True))
    subjects = Subjects.of(
        [f"e{row}" for row in range(len(sample))],
        {"card": ["" if each < 0 else f"c{each}" for each in group]},
        instants=DAY_ONE + days * np.timedelta64(1, "D") + np.arange(len(sample)))
    target = Binary(name="is_fraud", tops=(top,))
    found = target.measured(labels.astype(float), scores[:, None] / 1000, subjects).measure(
        np.ones((1, len(sample))) if weights is None else weights[None])
    return float(found[top.name][0])


def counted(sample: Sample, top: TopPrecision) -> float:
    shares, dealt_with = [], set[int]()
    for day in range(4):
        best: dict[int, int] = {}
        fraud = set[int]()
        for when, group, score, label in sample:
            if when == day and group >= 0 and group not in dealt_with:
                best[group] = max(best.get(group, -1), score)
                fraud |= {group} if label else set()
        highest = sorted(best, key=lambda group: -best[group])[: top.top]
        if highest:
            shares.append(sum(group in fraud for group in highest) / len(highest))
        if top.repeat == "once":
            dealt_with |= fraud & set(highest)
    return float(np.mean(shares)) if shares else float("nan")


@given(samples, st.integers(1, 4), st.sampled_from(["daily", "once"]))
@settings(deadline=None)
def test_a_loop_counts_the_same(sample: Sample, top: int, repeat: str) -> None:
    declared = TopPrecision(by="card", top=top, repeat=repeat)  # type: ignore[arg-type]
    assert measured(sample, declared) == pytest.approx(counted(sample, declared), nan_ok=True)


@given(samples)
@settings(deadline=None)
def test_what_weighs_nothing_is_as_good_as_not_there(sample: Sample) -> None:
    """And what was drawn twice counts once: a group is looked at once a day."""
    declared = TopPrecision(by="card", top=2, repeat="once")
    weights = np.array([float(score % 3) for _, _, score, _ in sample])
    left = [row for row in sample if row[2] % 3]
    expected = counted(left, declared) if left else float("nan")
    assert measured(sample, declared, weights) == pytest.approx(expected, nan_ok=True)


def test_rows_without_an_instant_have_no_day() -> None:
    labels: Bools = np.array([True, False])
    target = Binary(name="is_fraud", tops=(TopPrecision(by="card", top=1),))
    found = target.measured(labels.astype(float), np.array([[0.9], [0.1]]), Subjects.of(
        ["a", "b"], {"card": ["c", "d"]})).measure(np.ones((1, 2)))
    assert np.isnan(found["precision_at_1_by_card"]).all()


def test_a_wrong_declaration_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"TopPrecision.top is 0; expected at least 1"):
        TopPrecision(by="card", top=0)
    top = TopPrecision(by="card", top=3)
    with pytest.raises(DeclarationError, match=r"tops is .*; expected each once"):
        Binary(name="is_fraud", tops=(top, top))
    assert Binary(name="is_fraud", tops=(top,)).entities == ("card",)
