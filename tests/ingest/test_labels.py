"""Laws of labels: when they count, and that they stay counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.feedback import Crowd, FeedbackPolicy, TrustClass
from ml_assets.core.truths import Complaints, Outcomes, Recorded, Truth
from ml_assets.ingest.labels import labels_known_in, latest_labels
from ml_assets.ingest.lake import INSTANT
from ml_assets.ingest.log.event_log import Feedback, Prediction
from ml_assets.ingest.tables import RECORD_COLUMNS

START = datetime(2024, 1, 8, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
POLICY = Complaints(source="buyer", within=timedelta(days=2), maturity=timedelta(days=3))
"""The system's truth: nobody complained for three days, so the decision stands."""
TRUST = FeedbackPolicy(trusted=(TrustClass(name="reader", sources=("buyer",)),))
NO_HISTORY = pd.DataFrame(columns=RECORD_COLUMNS)


def served(at: datetime, *, decision: bool = True, event_id: str = "e") -> Prediction:
    return Prediction(
        prediction_id=f"p-{event_id}", system="toy", event_id=event_id, event_timestamp=at,
        accepted_at=at, request="{}", features_as_of=at, features=np.zeros(1, np.float32),
        feature_names=("amount",), model_version=1, score=0.7, decision=decision,
    )


def said(at: datetime, label: bool, event_id: str = "e", source: str = "buyer") -> Feedback:
    return Feedback(prediction_id=f"p-{event_id}", system="toy", label=label, source=source,
                    received_at=at)


def known(
    feedback: list[Feedback], *, policy: Truth = POLICY, trust: FeedbackPolicy = TRUST,
    days: float = 10, predictions: list[Prediction] | None = None,
) -> list[tuple[datetime, bool, str]]:
    rows = labels_known_in(
        policy, trust, start=START, end=START + timedelta(days=days), archived=NO_HISTORY,
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
    truth = Outcomes(source="buyer", after=timedelta(days=2), silence=False,
                     grace=timedelta(days=1))
    assert known([], policy=truth)[0][1] is False


def test_under_an_unlabelled_policy_silence_says_nothing() -> None:
    """A film that nobody rated has no rating."""
    assert known([], policy=Recorded(source="buyer", within=timedelta(days=3))) == []


def test_words_that_settle_nothing_do_not_break_the_silence() -> None:
    """Two anonymous complaints where three are needed: nobody who counts complained."""
    crowd = FeedbackPolicy(crowd=Crowd(quorum=3, probation=timedelta(0)))
    words = [said(START + n * HOUR, False, source=f"s{n}") for n in range(1, 3)]
    assert known(words, trust=crowd) == [(START + POLICY.maturity, True, "silence")]


def test_a_crowd_that_gathers_after_silence_corrects_it_as_it_reaches_its_quorum() -> None:
    """The label changes with the word that completes the quorum, and not before."""
    crowd = FeedbackPolicy(crowd=Crowd(quorum=3, probation=timedelta(0)))
    words = [said(START + timedelta(days=n), False, source=f"s{n}") for n in (1, 2, 5)]
    assert known(words, trust=crowd) == [
        (START + POLICY.maturity, True, "silence"),
        (START + timedelta(days=5), False, "feedback"),
    ]


def test_whether_a_source_is_a_newcomer_depends_on_all_it_said_of_the_system() -> None:
    """Its first word may have been about another prediction, long ago."""
    crowd = FeedbackPolicy(crowd=Crowd(quorum=1, probation=timedelta(days=4), newcomers_at_most=0))
    both = [served(START, event_id="old"), served(START, event_id="e")]
    earlier = said(START, False, "old", source="s")
    word = said(START + timedelta(days=5), False, source="s")
    rows = known([earlier, word], trust=crowd, predictions=both)
    assert (word.received_at, False, "feedback") in rows
    assert (word.received_at, False, "feedback") not in known([word], trust=crowd)


WEEK = timedelta(days=7)
OLD = ("o1", "o2", "o3")
"""Sources that have spoken a week before, of something else."""
WORDS = [
    ("nothing", [], [(POLICY.maturity, True)]),
    ("a trusted source", [(1, False, "buyer")], [(HOUR, False)]),
    ("ten thousand new names", [(n / 1000, False, f"bot{n}") for n in range(10_000)],
     [(POLICY.maturity, True)]),
    ("three sources known for a week", [(n, False, f"o{n}") for n in (1, 2, 3)],
     [(3 * HOUR, False)]),
    ("three such sources, then a trusted one",
     [*((n, False, f"o{n}") for n in (1, 2, 3)), (4, True, "buyer")],
     [(3 * HOUR, False), (4 * HOUR, True)]),
    ("a trusted source, then any number of others",
     [(1, False, "buyer"), *((1 + n / 1000, True, f"bot{n}") for n in range(1, 1000)),
      *((2, True, old) for old in OLD)], [(HOUR, False)]),
    ("a trusted source that changes its mind", [(1, False, "buyer"), (2, True, "buyer")],
     [(HOUR, False), (2 * HOUR, True)]),
    ("two old names and four new ones",
     [*((n, False, f"o{n}") for n in (1, 2)), *((3, False, f"bot{n}") for n in range(4))],
     [(3 * HOUR, False)]),
]


@pytest.mark.parametrize(
    ("words", "expected"), [case[1:] for case in WORDS], ids=[case[0] for case in WORDS]
)
def test_what_is_said_becomes_the_label_that_the_docs_promise(
    words: list[tuple[float, bool, str]], expected: list[tuple[timedelta, bool]]
) -> None:
    """The table in docs/feedback.md, line by line, under the defaults."""
    history = [said(START - WEEK, True, "old", source=source) for source in OLD]
    spoken = [said(START + hours * HOUR, label, source=source) for hours, label, source in words]
    found = known([*history, *spoken],
                  predictions=[served(START), served(START - WEEK, event_id="old")])
    of_e = [(at - START, label) for at, label, _ in found if at >= START]
    assert of_e == expected


def test_an_archived_outcome_counts_from_the_instant_that_its_record_says() -> None:
    """Which the truth has decided: history must know no label earlier than live traffic would."""
    archived = pd.DataFrame([("a", START, START, "{}", True, START + DAY, None, None),
                             ("b", START, START, "{}", None, None, None, None)],
                            columns=RECORD_COLUMNS)
    for start, expected in ((START, []), (START + DAY, [(START + DAY, True, "archive")])):
        rows = labels_known_in(POLICY, TRUST, start=start, end=start + DAY, archived=archived,
                               predictions=[], feedback=[])
        assert list(zip(rows["known_at"], rows["label"], rows["basis"], strict=True)) == expected


def test_labels_of_history_and_of_live_events_come_together_in_one_table() -> None:
    """As in the days after going live: instants stay instants, wherever they were read."""
    archived = pd.DataFrame({
        "event_id": ["a"], "outcome": [True],
        **{name: pd.Series([at], dtype=pd.ArrowDtype(INSTANT)).astype("datetime64[us, UTC]")
           for name, at in (("event_timestamp", START - DAY), ("outcome_known_at", START + HOUR))},
    })
    archived = pa.Table.from_pandas(archived, preserve_index=False).to_pandas()
    rows = labels_known_in(POLICY, TRUST, start=START, end=START + DAY, archived=archived,
                           predictions=[served(START)], feedback=[said(START + 2 * HOUR, False)])
    assert rows["event_id"].tolist() == ["a", "e"]
    assert rows["basis"].tolist() == ["archive", "feedback"]
    assert rows["label"].tolist() == [True, False]
    assert rows["known_at"].dt.hour.tolist() == [1, 2]


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
            POLICY, TRUST, start=start, end=stop, archived=NO_HISTORY, predictions=[served(START)],
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
    rows = labels_known_in(POLICY, TRUST, start=START, end=START + timedelta(days=10),
                           archived=NO_HISTORY, predictions=[served(START)], feedback=feedback)
    earlier, later = sorted([one, other])
    before, after = latest_labels(rows, earlier), latest_labels(rows, later)
    assert set(before["event_id"]) <= set(after["event_id"])
    assert (before["known_at"] < earlier).all()


@given(st.lists(instants, max_size=5, unique=True), st.booleans(), st.booleans())
def test_one_trusted_source_makes_each_of_its_words_a_label(
    at: list[datetime], first: bool, decision: bool
) -> None:
    """The rule before there were trust classes: a word counts on arrival, and if none came
    within the maturity window, silence. The log keeps changes of mind only."""
    words = [said(instant, first ^ bool(n % 2)) for n, instant in enumerate(sorted(at))]
    speaks = START + POLICY.maturity
    expected = [(word.received_at, word.label, "feedback") for word in words]
    if not words or words[0].received_at > speaks:
        expected.append((speaks, decision, "silence"))
    assert known(words, predictions=[served(START, decision=decision)]) == sorted(expected)
