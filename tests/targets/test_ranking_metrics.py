"""What a slate's order is worth is the mean over all orders that a model's scores allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as peer

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.slates import row_id
from ml_assets.core.target import Bools, Floats
from ml_assets.evaluation.comparison import compare
from ml_assets.targets import Ranking

PAGE = 3
TARGET = Ranking(name="taken", item="film", user="viewer", page=PAGE)
Slate = list[tuple[bool, float]]
"""Whether each row was taken, and its score."""

SLATES = st.lists(
    st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.2, 0.3])), min_size=1, max_size=5),
    min_size=1, max_size=4,
)


def rows(
    slates: Sequence[Slate], films: Sequence[Sequence[object]] | None = None,
    propensities: Sequence[float] | None = None,
) -> tuple[Floats, Floats, Subjects]:
    flat = [row for slate in slates for row in slate]
    ids = [row_id(f"r{number}", place + 1)
           for number, slate in enumerate(slates) for place in range(len(slate))]
    named = [place for slate in slates for place in range(len(slate))] if films is None else [
        film for some in films for film in some]
    return (np.array([taken for taken, _ in flat], dtype=np.float64),
            np.array([[score] for _, score in flat]),
            Subjects.of(ids, {"film": named}, propensities))


def measured(
    slates: Sequence[Slate], films: Sequence[Sequence[object]] | None = None,
    propensities: Sequence[float] | None = None,
) -> dict[str, float]:
    codes, outputs, subjects = rows(slates, films, propensities)
    values = TARGET.measured(codes, outputs, subjects).measure(np.ones((1, len(codes))))
    return {name: float(value[0]) for name, value in values.items()}


def orders(slate: Slate) -> Iterator[list[bool]]:
    """Every order that the scores allow."""
    ranked = sorted(slate, key=lambda row: -row[1])
    tied = [[taken for taken, _ in group] for _, group in groupby(ranked, key=lambda row: row[1])]
    for parts in product(*(permutations(part) for part in tied)):
        yield [taken for part in parts for taken in part]


def plainly(order: Sequence[bool]) -> dict[str, float]:
    gains = [1 / np.log2(rank + 2) for rank in range(PAGE)]
    found = [rank for rank, taken in enumerate(order[:PAGE]) if taken]
    count = sum(order)
    pairs = [(one, other) for one, first in enumerate(order) for other, second in enumerate(order)
             if first and not second]
    return {
        "ndcg": sum(gains[rank] for rank in found) / sum(gains[:count]),
        "recall": len(found) / count, "mrr": 1 / (found[0] + 1) if found else 0.0,
        "auc": float(np.mean([one < other for one, other in pairs])) if pairs else np.nan,
    }


@given(SLATES)
@settings(max_examples=60, deadline=None)
def test_ties_are_the_mean_of_their_orders(slates: list[Slate]) -> None:
    """So a model that says the same of all rows is as good as chance, and no better by luck."""
    found = measured(slates)
    some = [slate for slate in slates if any(taken for taken, _ in slate)]
    means = [{name: np.mean([plainly(order)[name] for order in orders(slate)])
              for name in ("ndcg", "recall", "mrr", "auc")} for slate in some]
    for name in ("ndcg", "recall", "mrr", "auc"):
        values = [float(mean[name]) for mean in means if not np.isnan(mean[name])]
        expected = float(np.mean(values)) if values else np.nan
        assert found[name] == pytest.approx(expected, nan_ok=True), name


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.2, 0.3])), min_size=2,
                max_size=12))
@settings(max_examples=60, deadline=None)
def test_scikit_learn_agrees(slate: Slate) -> None:
    taken, scores = ([row[place] for row in slate] for place in (0, 1))
    found = measured([slate])
    if any(taken):
        assert found["ndcg"] == pytest.approx(peer.ndcg_score([taken], [scores], k=PAGE))
    if any(taken) and not all(taken):
        assert found["auc"] == pytest.approx(peer.roc_auc_score(taken, scores))


def test_a_slate_of_which_nothing_was_taken_says_nothing_of_the_order() -> None:
    """Else a system of few choices would look bad whatever its model does."""
    chosen: Slate = [(True, 0.3), (False, 0.2)]
    both = measured([chosen, [(False, 0.9), (False, 0.1)]])
    alone = measured([chosen])
    for name in ("ndcg", "recall", "mrr", "auc"):
        assert both[name] == alone[name] == 1


@given(SLATES)
@settings(max_examples=60, deadline=None)
def test_a_case_is_a_slate_of_which_something_was_taken(slates: list[Slate]) -> None:
    """It loses what the mean of its orders lacks to 1, and its first row stands for it."""
    codes, outputs, subjects = rows(slates)
    cases = TARGET.cases(codes, outputs, subjects)
    starts = np.cumsum([0, *map(len, slates)])
    lost = {int(start): 1 - np.mean([plainly(order)["ndcg"] for order in orders(slate)])
            for start, slate in zip(starts, slates, strict=False)
            if any(taken for taken, _ in slate)}
    assert dict(zip(cases.rows.tolist(), cases.losses, strict=True)) == pytest.approx(lost)
    order = np.random.default_rng(len(codes)).permutation(len(codes))
    mixed = TARGET.cases(codes[order], outputs[order], subjects.of_rows(order))
    assert sorted(mixed.losses) == pytest.approx(sorted(cases.losses))


def test_coverage_counts_the_items_on_any_page_among_all_that_are_known() -> None:
    slates: list[Slate] = [[(False, score / 10) for score in (5, 4, 3, 2, 1)]] * 2
    same, other = ("a", "b", "c", "d", "e"), ("a", "b", "f", "d", "e")
    assert measured(slates, [same, same])["coverage"] == pytest.approx(3 / 5)
    assert measured(slates, [same, other])["coverage"] == pytest.approx(4 / 6)
    codes, outputs, subjects = rows(slates, [same, other])
    part = np.arange(10) < 5
    alone = TARGET.measured(codes[part], outputs[part], subjects.of_rows(part))
    assert alone.measure(np.ones((1, 5)))["coverage"][0] == pytest.approx(3 / 6)


def test_rows_of_which_no_propensity_is_known_have_no_estimate_by_it() -> None:
    values = measured([[(True, 0.3), (False, 0.2)]])
    assert np.isnan(values["ips_log_loss"]) and np.isnan(values["ips_taken"])


def logged(requests: int, explore: float, seed: int) -> tuple[list[Slate], list[list[int]],
                                                               list[float]]:
    """Slates of two of three items: the first by popularity, the second drawn with a share.

    Item 2 is rare and mostly taken; a model takes it for one that seldom is.
    """
    draw = np.random.default_rng(seed)
    slates, films, propensities = [], [], []
    for _ in range(requests):
        second, propensity = (2, explore) if draw.random() < explore else (1, 1 - explore)
        taken = [bool(draw.random() < share) for share in (0.2, (0.3, 0.8)[second - 1])]
        slates.append([(taken[0], 0.2), (taken[1], 0.3)])
        films.append([0, second])
        propensities += [1.0, propensity]
    return slates, films, propensities


def test_rows_weigh_as_if_all_items_had_been_shown_by_equal_chance() -> None:
    """The mean loss of the three items, although the one that is misjudged is in 5% of slates."""
    found = measured(*logged(20_000, 0.05, 1))
    mean = np.mean([-share * np.log(score) - (1 - share) * np.log(1 - score)
                    for share, score in ((0.2, 0.2), (0.3, 0.3), (0.8, 0.3))])
    assert found["ips_log_loss"] == pytest.approx(float(mean), abs=0.02)
    assert found["log_loss"] < mean - 0.1


def test_what_would_be_taken_in_the_models_order_is_estimated_from_another_order() -> None:
    """Positions have rates of their own: the first is looked at twice as often.

    Slates were shuffled, so each item stood at each position with a chance of a third.
    """
    draw = np.random.default_rng(2)
    worth, seen = {"a": 0.9, "b": 0.5, "c": 0.1}, (0.8, 0.4, 0.2)
    slates, films = [], []
    for _ in range(6_000):
        order = [str(film) for film in draw.permutation(list(worth))]
        slates.append([(bool(draw.random() < worth[film] * look), worth[film])
                       for film, look in zip(order, seen, strict=True)])
        films.append(order)
    found = measured(slates, films, [1 / 3] * 18_000)
    best = np.mean([0.9 * 0.8, 0.5 * 0.4, 0.1 * 0.2])
    assert found["ips_taken"] == pytest.approx(best, abs=0.015)
    logged_rate = np.mean([taken for slate in slates for taken, _ in slate])
    assert found["ips_taken"] > logged_rate + 0.05


def users(count: int, seed: int) -> tuple[Bools, Floats, Subjects]:
    """One hundred slates of each user, whose taste is all that differs."""
    draw = np.random.default_rng(seed)
    skill = draw.uniform(0, 1, count)
    labels, scores, ids, who = [], [], [], []
    for user in range(count):
        for slate in range(100):
            knows = draw.random() < skill[user]
            labels += [True, False]
            scores += [0.6, 0.4] if knows else [0.4, 0.6]
            ids += [row_id(f"u{user}-{slate}", place) for place in (1, 2)]
            who += [f"u{user}"] * 2
    return np.array(labels), np.array(scores)[:, None], Subjects.of(
        ids, {"viewer": who, "film": ["a", "b"] * (count * 100)})


def test_intervals_are_as_wide_as_users_differ() -> None:
    """A hundred slates of one user are no hundred users: drawn alone they would promise ten times
    as much.
    """
    labels, outputs, subjects = users(12, 3)
    by_user = compare(TARGET, labels.astype(float), outputs, None, subjects=subjects).candidate
    by_slate = compare(Ranking(name="taken", item="film"), labels.astype(float), outputs, None,
                       subjects=subjects).candidate
    widths = []
    for found in (by_user["auc"], by_slate["auc"]):
        assert found.low is not None and found.high is not None and found.value is not None
        assert found.low <= found.value <= found.high
        widths.append(found.high - found.low)
    assert widths[0] > 3 * widths[1]


def test_nine_of_ten_intervals_hold_what_new_users_show() -> None:
    """Twelve users say how the next thousands will be, within their interval."""
    within = 0
    for seed in range(40):
        labels, outputs, subjects = users(12, seed)
        auc = compare(
            TARGET, labels.astype(float), outputs, None, subjects=subjects).candidate["auc"]
        assert auc.low is not None and auc.high is not None
        within += auc.low <= 0.5 <= auc.high
    assert within >= 34


def test_the_slates_of_a_single_user_stand_for_themselves() -> None:
    """He alone would have no interval at all."""
    labels, outputs, subjects = users(1, 1)
    auc = compare(TARGET, labels.astype(float), outputs, None, subjects=subjects).candidate["auc"]
    assert auc.low is not None and auc.high is not None and auc.low < auc.high
