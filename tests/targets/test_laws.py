"""What every kind of target keeps, whatever it is of."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.errors import InvalidRequest, NotReady
from ml_assets.core.slates import row_id
from ml_assets.core.target import Floats, Label, Scale, Target
from ml_assets.ingest.log.served import restored_label, stored_label
from ml_assets.targets import Binary, Classes, Cost, Number, Ranking, TopPrecision
from ml_assets.targets.stored import as_json, of_json

TARGETS: tuple[tuple[Target, list[Label]], ...] = (
    (Binary(name="returned"), [True, False]),
    (Binary(name="is_fraud", threshold=0.1), [False, True]),
    (Binary(name="waste", cost=Cost(miss="amount", alarm=3.0, unit="EUR"),
            tops=(TopPrecision(by="viewer", top=2), TopPrecision(by="film", top=1, repeat="once"))),
     [False, True]),
    (Classes(name="queue", classes=("billing", "01", "1", "returns")),
     ["billing", "01", "1", "returns"]),
    (Number(name="delay", unit="min", tolerance=5, minimum=-60, maximum=600),
     [0.0, -60.0, 37.5, 600.0, 3.0]),
    (Number(name="wait", unit="min", tolerance=5, minimum=-60, maximum=600, interval=0.9),
     [0.0, -60.0, 37.5, 600.0, 3.0]),
    (Number(name="sales", unit="USD", tolerance=0.2, minimum=0, maximum=600, interval=0.9,
            errors="relative"), [0.0, 60.0, 37.5, 600.0, 3.0]),
    (Ranking(name="taken", item="film", user="viewer", page=3, explore=0.1), [True, False]),
)
"""Each with some of its labels."""

NO_LABELS: dict[str, list[object]] = {
    "binary": [37.5, 1, 0, "true", None, [], float("nan")],
    "classes": ["biling", "", 1, None, True, ["billing"]],
    "ranking": [37.5, 1, 0, "true", None, [], float("nan")],
    "number": [True, "3", None, float("nan"), float("inf"), 601, -61, 10**400],
}

each_target = pytest.mark.parametrize(
    ("target", "labels"), TARGETS, ids=[target.name for target, _ in TARGETS])


def about(rows: int, seed: int, users: int = 4) -> Subjects:
    """Rows of slates of three, each of one of the users; what of is known in part."""
    draw = np.random.default_rng(seed)
    return Subjects.of(
        [row_id(f"r{row // 3}", row % 3 + 1) for row in range(rows)],
        {"viewer": [f"v{row // 3 % users}" for row in range(rows)],
         "film": draw.integers(5, size=rows).tolist()},
        np.where(draw.random(rows) < 0.7, draw.uniform(0.005, 1, rows), np.nan),
        np.datetime64("2024-01-01") + draw.integers(3, size=rows),
    )


def drawn(target: Target, rows: int, seed: int) -> Floats:
    draw = np.random.default_rng(seed)
    return outputs_of(target, draw.normal(0, 3, (rows, target.logits)),
                      target.scale(np.arange(5.0) % 2))


def outputs_of(target: Target, logits_NK: Floats, scale: Scale) -> Floats:
    """Of a model that reads nothing but what the target carries."""
    seen = np.random.default_rng(len(logits_NK)).uniform(
        0, 20, (len(logits_NK), len(target.carries))).astype(np.float32)
    return target.outputs_of(logits_NK, scale, target.carries, seen)


@each_target
def test_a_label_is_the_same_after_its_code_and_after_the_log(
    target: Target, labels: list[Label]
) -> None:
    """With its type: 1.0 is not True."""
    for label in labels:
        for back in (target.label_of(target.code(label)), restored_label(stored_label(label)),
                     target.label(label)):
            assert (back, type(back)) == (label, type(label))


@each_target
def test_whatever_is_no_label_is_refused_with_the_name_of_the_label(
    target: Target, labels: list[Label]
) -> None:
    """Nothing is guessed."""
    for value in NO_LABELS[target.kind]:
        with pytest.raises(InvalidRequest, match=f"^{target.name} is .*; expected "):
            target.label(value)


@each_target
@given(seed=st.integers(0, 2**32), rows=st.integers(1, 20))
@settings(deadline=None)
def test_what_a_network_gives_becomes_outputs_that_can_be_judged(
    target: Target, labels: list[Label], seed: int, rows: int
) -> None:
    """Each decision is a label; each row has one loss, finite and at least 0."""
    outputs_NW = drawn(target, rows, seed)
    codes_N = target.codes([labels[(seed + row) % len(labels)] for row in range(rows)])
    assert outputs_NW.shape == (rows, len(target.outputs))
    assert target.check(outputs_NW).all()
    decisions_N = target.decide(outputs_NW)
    for code in decisions_N:
        target.label(target.label_of(float(code)))
    losses_N = target.losses(codes_N, outputs_NW)
    assert losses_N.shape == target.score(outputs_NW).shape == (rows,)
    assert (losses_N >= 0).all() and np.isfinite(losses_N).all()
    assert target.right(decisions_N, decisions_N).all()
    alone = [target.losses(codes_N[row:row + 1], outputs_NW[row:row + 1])[0]
             for row in range(rows)]
    assert losses_N.tolist() == alone


@each_target
def test_no_answer_that_is_the_same_for_all_rows_loses_less_than_the_constant(
    target: Target, labels: list[Label]
) -> None:
    """The baseline of a model that learnt nothing."""
    codes_N = target.codes([labels[place] for place in (0, 0, 0, 1, 1, len(labels) - 1)])
    best = target.losses(codes_N, np.tile(target.constant(codes_N), (6, 1))).mean()
    for seed in range(50):
        other = np.repeat(drawn(target, 1, seed), 6, axis=0)
        assert best <= target.losses(codes_N, other).mean() + 1e-12


@each_target
def test_what_cannot_be_an_output_is_found(target: Target, labels: list[Label]) -> None:
    """A model that answers so must not be served."""
    outputs_NW = drawn(target, 2, 1)
    outputs_NW[1, 0] = np.nan
    assert target.check(outputs_NW).tolist() == [True, False]


@each_target
def test_a_target_is_the_same_after_it_was_stored_as_json(
    target: Target, labels: list[Label]
) -> None:
    """A stored model says what its outputs mean."""
    assert of_json(json.loads(json.dumps(as_json(target)))) == target


@each_target
def test_labels_that_are_all_the_same_are_refused_in_words(
    target: Target, labels: list[Label]
) -> None:
    """Nothing can be learnt from them, and log-odds would be infinite."""
    target.require_learnable(target.codes(labels[:2]))
    for same in ([], [labels[0]] * 3):
        says = f"has {len(same)} labels of {target.name}.* must occur"
        with pytest.raises(NotReady, match=says):
            target.require_learnable(target.codes(same))


@each_target
@given(seed=st.integers(0, 2**32), rows=st.integers(1, 40))
@settings(deadline=None)
def test_calibration_leaves_outputs_that_can_be_judged(
    target: Target, labels: list[Label], seed: int, rows: int
) -> None:
    """And moves no decision and no loss: it says how sure an answer is."""
    draw = np.random.default_rng(seed)
    codes_N = target.codes([labels[place] for place in draw.integers(len(labels), size=rows)])
    logits_NK, scale = draw.normal(0, 3, (rows, target.logits)), target.scale(codes_N)
    before_NW = outputs_of(target, logits_NK, scale)
    after_NW = outputs_of(target, logits_NK, target.calibrated(scale, codes_N, before_NW))
    assert target.check(after_NW).all()
    assert (target.decide(after_NW) == target.decide(before_NW)).all()
    assert (target.losses(codes_N, after_NW) == target.losses(codes_N, before_NW)).all()


@each_target
def test_most_rows_are_left_for_the_fit(target: Target, labels: list[Label]) -> None:
    for rows in (0, 1, 4, 100, 10**6):
        assert 0 <= target.kept_back(rows) <= rows / 5


@each_target
def test_answers_mean_the_same_if_the_declaration_says_so(
    target: Target, labels: list[Label]
) -> None:
    """Else one of them is no model of the other's system."""
    assert [each.name for each, _ in TARGETS if target.answers_like(each)] in (
        [target.name], ["returned", "is_fraud", "taken"])


@each_target
def test_a_contrast_parts_the_rows_into_groups_from_0_on(
    target: Target, labels: list[Label]
) -> None:
    """Of labels that differ it makes at least two."""
    groups = target.contrast(target.codes(labels))
    assert groups.min() == 0 and len(np.unique(groups)) >= 2
