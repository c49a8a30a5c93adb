"""Laws of labels: when they count, and that they stay counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.policies import LabelPolicy
from ml_assets.ingest.event_log import Feedback, Prediction
from ml_assets.ingest.labels import labels_known_in, latest_labels
from ml_assets.ingest.tables import RAW

START = datetime(2024, 1, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
POLICY = LabelPolicy(name="returned", maturity=timedelta(days=3), silence="decision_stands")
NO_HISTORY = pd.DataFrame(columns=RAW.names)


def served(at: datetime, *, decision: bool = True, event_id: str = "e") -> Prediction:
    return Prediction(
        prediction_id=f"p-{event_id}", system="toy", event_id=event_id, event_timestamp=at,
        accepted_at=at, request="{}", features_as_of=at, features=np.zeros(1, np.float32),
        feature_names=("amount",), model_version=1, score=0.7, decision=decision,
    )


def said(at: datetime, label: bool, event_id: str = "e") -> Feedback:
    return Feedback(prediction_id=f"p-{event_id}", system="toy", label=label, source="buyer",
                    received_at=at)


def known(
    feedback: list[Feedback], *, policy: LabelPolicy = POLICY, days: float = 10,
    predictions: list[Prediction] | None = None,
) -> list[tuple[datetime, bool, str]]:
    rows = labels_known_in(
        policy, start=START, end=START + timedelta(days=days), archived=NO_HISTORY,
        predictions=[served(START)] if predictions is None else predictions, feedback=feedback,
    )
    return list(zip(rows["known_at"], rows["label"], rows["basis"], strict=True))


def test_feedback_counts_from_the_instant_it_arrives() -> None:
    """An explicit outcome does not wait for maturity."""
    assert known([said(START + HOUR, False)], days=1) == [(START + HOUR, False, "feedback")]


def test_silence_speaks_once_the_maturity_window_has_passed_and_not_before() -> None:
    """Nobody complained for three days: the decision stands."""
    assert known([], days=2.9) == []
    assert known([]) == [(START + POLICY.maturity, True, "silence")]


def test_silence_does_not_speak_where_somebody_has() -> None:
    """A complaint within the window takes the place of silence."""
    assert [basis for *_, basis in known([said(START + HOUR, False)])] == ["feedback"]


def test_a_late_complaint_corrects_what_silence_said() -> None:
    """It is known later; what was known before stays written."""
    late = START + timedelta(days=5)
    assert known([said(late, False)]) == [
        (START + POLICY.maturity, True, "silence"), (late, False, "feedback")
    ]


def test_under_a_negative_policy_silence_means_false() -> None:
    """No chargeback came: the payment was fine, whatever was decided."""
    assert known([], policy=replace(POLICY, silence="negative"))[0][1] is False


def test_under_an_unlabelled_policy_silence_says_nothing() -> None:
    """A film that nobody rated has no rating."""
    assert known([], policy=replace(POLICY, silence="unlabelled")) == []


def test_the_first_word_counts_where_the_policy_says_so() -> None:
    """Under `first`, a second opinion is kept in the log and changes no label."""
    words = [said(START + HOUR, False), said(START + 2 * HOUR, True)]
    assert [label for _, label, _ in known(words)] == [False, True]
    assert [label for _, label, _ in known(words, policy=replace(POLICY, conflict="first"))] == [
        False
    ]


def test_an_archived_outcome_matures_as_silence_does() -> None:
    """History must not know its labels earlier than live traffic would."""
    archived = pd.DataFrame([("a", START, START, "{}", True)], columns=RAW.names)
    rows = labels_known_in(POLICY, start=START, end=START + timedelta(days=4), archived=archived,
                           predictions=[], feedback=[])
    assert rows["known_at"].tolist() == [START + POLICY.maturity]


instants = st.integers(0, 9 * 24).map(lambda hours: START + hours * HOUR)
words = st.lists(st.tuples(instants, st.booleans()), max_size=4)


@given(words, st.integers(1, 9))
def test_days_taken_one_by_one_give_what_all_days_together_give(
    spoken: list[tuple[datetime, bool]], split: int
) -> None:
    """A daily partition neither loses nor repeats a label, wherever the day is cut."""
    feedback = sorted((said(at, label) for at, label in spoken), key=lambda f: f.received_at)
    cut, end = START + timedelta(days=split), START + timedelta(days=10)
    parts = [
        labels_known_in(
            POLICY, start=start, end=stop, archived=NO_HISTORY, predictions=[served(START)],
            feedback=[f for f in feedback if f.received_at < stop],
        )
        for start, stop in ((START, cut), (cut, end), (START, end))
    ]
    first, second, whole = (list(part.itertuples(index=False, name=None)) for part in parts)
    assert first + second == whole


@given(words, instants, instants)
def test_a_label_counts_only_once_known_and_stays_counted(
    spoken: list[tuple[datetime, bool]], one: datetime, other: datetime
) -> None:
    """As of a later instant no event has fewer labels, and none was known in the future."""
    feedback = sorted((said(at, label) for at, label in spoken), key=lambda f: f.received_at)
    rows = labels_known_in(POLICY, start=START, end=START + timedelta(days=10),
                           archived=NO_HISTORY, predictions=[served(START)], feedback=feedback)
    earlier, later = sorted([one, other])
    before, after = latest_labels(rows, earlier), latest_labels(rows, later)
    assert set(before["event_id"]) <= set(after["event_id"])
    assert (before["known_at"] < earlier).all()
