"""Outcomes: each label beside its prediction, corrections kept, nothing invented."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pandas as pd
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from ml_assets.core.settings import Settings
from ml_assets.feedback.outcomes import Quality, count_by_basis, join_outcomes, quality
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.lake_in_sql import open_lake
from ml_assets.ingest.tables import known_schema, outcomes_schema, predictions_schema
from tests.toy import TOY

LABELS = known_schema(TOY)
OUTCOMES = outcomes_schema(TOY)
PREDICTIONS = predictions_schema(TOY)

NOON = datetime(2024, 1, 9, 12, tzinfo=UTC)
DAY = NOON.date()


def predictions(decisions: dict[str, bool]) -> pd.DataFrame:
    rows = [
        (f"p-{event}", event, NOON, NOON, NOON, [1.0], ["amount"], 3, 0.9 if decision else 0.1,
         decision, False, "champion", 1.0, None, None, None)
        for event, decision in decisions.items()
    ]
    return pd.DataFrame(rows, columns=PREDICTIONS.names)


def labels(*said: tuple[str, int, bool, str]) -> pd.DataFrame:
    """Rows of (event, hours until known, label, basis)."""
    rows = [
        (event, NOON, NOON + timedelta(hours=hours), label, basis)
        for event, hours, label, basis in said
    ]
    return pd.DataFrame(rows, columns=LABELS.names)


def quality_of(outcomes: pd.DataFrame, until: date = DAY) -> Quality:
    """As of the end of `until`, of outcomes that all lie in the day of NOON."""
    with TemporaryDirectory() as folder:
        Lake(Path(folder)).write("toy", "outcomes", NOON.date(), outcomes, OUTCOMES)
        with open_lake(Path(folder), [TOY]) as lake:
            return quality(lake, TOY, until=until)


def test_a_label_meets_its_prediction() -> None:
    joined = join_outcomes(predictions({"a": True, "b": False}),
                           labels(("b", 2, True, "feedback"), ("a", 1, True, "silence")))
    assert list(joined.columns) == OUTCOMES.names
    assert joined[["prediction_id", "label", "basis", "decision"]].to_numpy().tolist() == [
        ["p-a", True, "silence", True], ["p-b", True, "feedback", False],
    ]


def test_an_outcome_says_who_decided_and_how_probable_that_was() -> None:
    served = predictions({"a": True, "b": False}).assign(
        role=["champion", "challenger"], propensity=[1.0, 0.1]
    )
    joined = join_outcomes(served, labels(("a", 1, True, "feedback"), ("b", 2, True, "feedback")))
    assert joined[["role", "propensity"]].to_numpy().tolist() == [
        ["champion", 1.0], ["challenger", 0.1],
    ]


def test_labels_of_events_that_were_never_predicted_are_left_out() -> None:
    joined = join_outcomes(predictions({"a": True}), labels(("old", 1, True, "archive")))
    assert joined.empty


def test_ids_that_differ_after_a_nul_are_those_of_two_events() -> None:
    """Logs of before hold them; pandas, where it validates a merge, compares up to the NUL."""
    joined = join_outcomes(predictions({"x\0a": True, "x\0b": False}),
                           labels(("x\0a", 1, True, "silence"), ("x\0b", 2, True, "silence")))
    assert joined["prediction_id"].tolist() == ["p-x\0a", "p-x\0b"]


def test_an_archived_label_is_none_of_a_prediction_with_the_same_id() -> None:
    """Whoever posts an id of the archive predicts another event."""
    joined = join_outcomes(predictions({"a": True}),
                           labels(("a", 1, True, "archive"), ("a", 2, False, "silence")))
    assert joined[["basis", "label"]].to_numpy().tolist() == [["silence", False]]


def test_corrections_are_kept_and_the_latest_counts() -> None:
    said = labels(("a", 9, False, "feedback"), ("a", 72, True, "feedback"),
                  ("b", 72, False, "silence"))
    joined = join_outcomes(predictions({"a": True, "b": False}), said)
    assert len(joined) == 3
    found = quality_of(joined)
    assert (found.judged, found.right, found.rates["false_positive_rate"]) == (2, 1.0, 0)
    assert count_by_basis(joined) == {"feedback": 2, "silence": 1, "archive": 0}


def test_errors_are_told_apart() -> None:
    joined = join_outcomes(
        predictions({"a": True, "b": False, "c": False, "d": True}),
        labels(("a", 1, False, "feedback"), ("b", 1, True, "feedback"),
               ("c", 1, False, "silence"), ("d", 1, True, "silence")),
    )
    found = quality_of(joined)
    assert (found.right, dict(found.rates)) == (0.5, {"false_positive_rate": 0.5, "recall": 0.5})


def test_no_outcome_is_no_quality(settings: Settings) -> None:
    nothing = quality_of(join_outcomes(predictions({}), labels()))
    assert nothing.judged == 0
    assert math.isnan(nothing.right)
    with open_lake(settings.lake, [TOY]) as lake:
        assert quality(lake, TOY, until=NOON.date()).judged == 0


def test_what_becomes_known_later_does_not_count_yet() -> None:
    outcomes = join_outcomes(predictions({"a": True}), labels(("a", 1, True, "feedback")))
    assert quality_of(outcomes, until=NOON.date() - timedelta(days=1)).judged == 0


def test_outcomes_fit_their_table(settings: Settings) -> None:
    joined = join_outcomes(predictions({"a": True}), labels(("a", 1, True, "feedback")))
    lake = Lake(settings.lake)
    lake.write("toy", "outcomes", NOON.date(), joined, OUTCOMES)
    pd.testing.assert_frame_equal(
        lake.read("toy", "outcomes", OUTCOMES), joined, check_dtype=False
    )


words = st.lists(
    st.tuples(st.sampled_from("abcdx"), st.integers(1, 90), st.booleans(),
              st.sampled_from(["feedback", "silence"])), max_size=12,
)


@settings_of(max_examples=40, deadline=None)
@given(words, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(
    said: list[tuple[str, int, bool, str]], random: Random
) -> None:
    """The law: outcomes are a set; at most one label per event and instant is assumed."""
    unique = list({(event, hours): (event, hours, label, basis)
                   for event, hours, label, basis in said}.values())
    served = predictions(dict.fromkeys("abcd", True))
    shuffled = list(unique)
    random.shuffle(shuffled)
    first, second = join_outcomes(served, labels(*unique)), join_outcomes(served, labels(*shuffled))
    pd.testing.assert_frame_equal(first, second)
    assert len(first) == sum(event != "x" for event, *_ in unique)


@settings_of(max_examples=15, deadline=None)
@given(words)
def test_quality_is_that_of_each_prediction_s_latest_label(
    said: list[tuple[str, int, bool, str]]
) -> None:
    latest = {event: label for event, _, label, _ in sorted(said) if event != "x"}
    said = list({(event, hours): (event, hours, label, basis)
                 for event, hours, label, basis in sorted(said)}.values())
    decisions = dict(zip("abcd", (True, False, True, False), strict=True))
    told = quality_of(join_outcomes(predictions(decisions), labels(*said)))
    wrong = {event for event, label in latest.items() if decisions[event] != label}
    assert told.judged == len(latest)
    if latest:
        assert told.right == (len(latest) - len(wrong)) / len(latest)
    ham = [event for event, label in latest.items() if not label]
    if ham:
        alarms = sum(decisions[event] for event in ham)
        assert told.rates["false_positive_rate"] == alarms / len(ham)
