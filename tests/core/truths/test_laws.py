"""What every kind of truth keeps, whatever the labels are of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from ml_assets.core.errors import DeclarationError, InvalidRequest
from ml_assets.core.feedback import Crowd, FeedbackPolicy, TrustClass
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.system import System
from ml_assets.core.target import Label, Target
from ml_assets.core.truths import Choices, Complaints, Outcomes, Recorded, Truth
from ml_assets.ingest.archive import records
from ml_assets.ingest.labels import Known, known_of
from ml_assets.ingest.log.event_log import Feedback, Prediction
from ml_assets.ingest.log.resolution import resolve
from ml_assets.replay.people import People
from ml_assets.targets import Binary, Classes, Number
from tests.toy import TOY

AT = datetime(2024, 1, 8, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

QUEUES = Classes(name="queue", classes=("billing", "returns", "other"))
DELAY = Number(name="delay", unit="min", minimum=-60, maximum=600, tolerance=5)
RETURNED = Binary(name="returned")
ANSWERS: dict[str, list[Label]] = {
    "returned": [True, False], "queue": ["billing", "returns", "other"],
    "delay": [0.0, 4.0, 37.5, 600.0],
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """truth: of labels of `target`; final: what is known in the end of an outcome and a decision,
    and on which basis."""

    truth: Truth
    target: Target
    final: Callable[[Label, Label], tuple[Label, str]]


def as_told(outcome: Label, decision: Label) -> tuple[Label, str]:
    return outcome, "feedback"


def of_complaints(outcome: Label, decision: Label) -> tuple[Label, str]:
    """Only mistakes are reported; whoever is five minutes off in `delay` makes none."""
    is_right = abs(outcome - decision) <= 5 if isinstance(outcome, float) and isinstance(
        decision, float) else outcome == decision
    return (decision, "silence") if is_right else (outcome, "feedback")


def but_silence_says(rest: Label) -> Callable[[Label, Label], tuple[Label, str]]:
    return lambda outcome, decision: (outcome, "silence" if outcome == rest else "feedback")


CASES = [
    Case(truth=Complaints(source="reader", within=2 * DAY, maturity=3 * DAY), target=target,
         final=of_complaints)
    for target in (RETURNED, QUEUES, DELAY)
] + [
    Case(truth=Outcomes(source="bank", after=7 * DAY, silence=False), target=RETURNED,
         final=but_silence_says(False)),
    Case(truth=Outcomes(source="clerk", after=DAY), target=QUEUES, final=as_told),
    Case(truth=Outcomes(source="station", after=HOUR, grace=timedelta(0)), target=DELAY,
         final=as_told),
    Case(truth=Choices(source="shop", within=HOUR, rest=False), target=RETURNED,
         final=but_silence_says(False)),
    Case(truth=Choices(source="shop", within=HOUR, rest="other"), target=QUEUES,
         final=but_silence_says("other")),
    *(Case(truth=Recorded(source="archive", within=9 * DAY), target=target, final=as_told)
      for target in (RETURNED, QUEUES, DELAY)),
]
few = budget(max_examples=30, deadline=None)
each_case = pytest.mark.parametrize(
    "case", CASES, ids=[f"{case.truth.kind} of {case.target.kind}" for case in CASES])


def system_of(case: Case) -> System:
    return replace(TOY, target=case.target, truth=case.truth, feedback=FeedbackPolicy(), gates=(),
                   scores_by=None)


def archived(case: Case, event_id: str, outcome: Label, learnt: float | None) -> ArchivedEvent:
    """learnt: when its outcome became known, from 0 (at once) to 1 (at maturity)."""
    if isinstance(case.truth, Recorded):
        learnt = 0.5 if learnt is None else learnt
    known_at = None if learnt is None else AT + case.truth.maturity * learnt
    return ArchivedEvent(event_id=event_id, event_timestamp=AT, request={"amount": 1},
                         outcome=outcome, known_at=known_at)


def served(event: ArchivedEvent, decision: Label) -> Prediction:
    return Prediction(
        prediction_id=f"p-{event.event_id}", system="toy", event_id=event.event_id,
        event_timestamp=event.event_timestamp, accepted_at=event.event_timestamp, request="{}",
        features_as_of=AT, features=np.zeros(1, np.float32), feature_names=("amount",),
        model_version=1, score=0.5, decision=decision,
    )


def known_in_a_replay(case: Case, event: ArchivedEvent, decision: Label) -> list[Known]:
    """What becomes known of an event if people tell what the truth says."""
    people, about = People(system=system_of(case)), served(event, decision)
    people.receive(event, prediction_id=about.prediction_id, decision=decision)
    words = [Feedback(prediction_id=each.prediction_id, system="toy", label=each.label,
                      source=case.truth.source, received_at=each.due)
             for each in people.due(AT + 99 * DAY)]
    changes = resolve(words, system_of(case).feedback).changes
    return known_of(case.truth, about, changes)


answers = st.integers(0, 3)
instants = st.one_of(st.none(), st.floats(0, 1))


@each_case
@few
@given(event_id=st.text(min_size=1), outcome=answers, decision=answers)
def test_what_a_replay_tells_gives_exactly_the_labels_that_the_kind_promises(
    case: Case, event_id: str, outcome: int, decision: int
) -> None:
    """One label of each event, known once and not corrected: a caught positive stays one."""
    labels = ANSWERS[case.target.name]
    was, said = labels[outcome % len(labels)], labels[decision % len(labels)]
    event = archived(case, event_id, was, None)
    [known] = known_in_a_replay(case, event, said)
    assert (known.label, known.basis) == case.final(was, said)


@each_case
@few
@given(event_id=st.text(min_size=1), outcome=answers, decision=answers, learnt=instants)
def test_nothing_is_known_before_its_event_or_after_its_maturity(
    case: Case, event_id: str, outcome: int, decision: int, learnt: float | None
) -> None:
    """Neither in history nor in a replay; and there is no event of which nothing is known."""
    labels = ANSWERS[case.target.name]
    was, said = labels[outcome % len(labels)], labels[decision % len(labels)]
    event = archived(case, event_id, was, learnt)
    known = known_in_a_replay(case, event, said)
    history = case.truth.known_at(event)
    assert known and history is not None
    for at in (history, *(each.known_at for each in known)):
        assert AT <= at <= AT + case.truth.maturity


@each_case
@few
@given(outcome=answers, decision=answers, learnt=instants)
def test_history_knows_a_label_when_a_replay_of_it_would(
    case: Case, outcome: int, decision: int, learnt: float | None
) -> None:
    """Else a model would be trained on labels that come sooner than those that it will get.

    Of complaints history does not know the decision, so that all counts as silence would.
    """
    if isinstance(case.truth, Complaints):
        return
    labels = ANSWERS[case.target.name]
    event = archived(case, "e", labels[outcome % len(labels)], learnt)
    [known] = known_in_a_replay(case, event, labels[decision % len(labels)])
    assert (known.label, known.known_at) == (event.outcome, case.truth.known_at(event))


@each_case
@few
@given(st.lists(st.tuples(answers, answers, instants), min_size=1, max_size=12),
       st.integers(0, 100))
def test_a_replay_that_was_interrupted_tells_the_same(
    case: Case, drawn: list[tuple[int, int, float | None]], share: int
) -> None:
    """The draws are hashes of the event's id, not the state of a generator."""
    labels, until = ANSWERS[case.target.name], AT + case.truth.maturity * (share / 100)
    whole, resumed = People(system=system_of(case)), People(system=system_of(case))
    for people in (whole, resumed):
        for place, (outcome, decision, learnt) in enumerate(drawn):
            event = archived(case, f"e{place}", labels[outcome % len(labels)], learnt)
            people.receive(event, prediction_id=f"p{place}",
                           decision=labels[decision % len(labels)])
        if people is resumed:
            before = people.due(until)
    after = resumed.due(AT + 99 * DAY)
    assert before + after == whole.due(AT + 99 * DAY) == sorted(before + after)
    assert all(each.due < until for each in before) and all(each.due >= until for each in after)


@each_case
@few
@given(st.lists(st.tuples(st.floats(0, 2), answers), max_size=6), answers, st.floats(0, 2))
def test_a_label_that_is_known_never_becomes_unknown(
    case: Case, words: list[tuple[float, int]], decision: int, later: float
) -> None:
    """Whatever else the source says, and whenever."""
    labels = ANSWERS[case.target.name]
    about = served(archived(case, "e", labels[0], None), labels[decision % len(labels)])
    said = [Feedback(prediction_id="p-e", system="toy", label=labels[each % len(labels)],
                     source=case.truth.source, received_at=AT + case.truth.maturity * share)
            for share, each in words]
    until = AT + case.truth.maturity * later
    changes = resolve(said, system_of(case).feedback).changes
    past = resolve([word for word in said if word.received_at <= until],
                   system_of(case).feedback).changes
    before = [each for each in known_of(case.truth, about, past) if each.known_at <= until]
    whole = known_of(case.truth, about, changes)
    assert [each for each in whole if each.known_at <= until] == before
    assert [each.known_at for each in whole] == sorted(each.known_at for each in whole)


@each_case
@pytest.mark.parametrize("known_at", [AT - timedelta(microseconds=1), AT + 99 * DAY])
def test_an_archive_that_knows_too_early_or_too_late_is_set_aside(
    case: Case, known_at: datetime
) -> None:
    """By name: of what is known too late, silence has said something else before."""
    event = replace(archived(case, "e", ANSWERS[case.target.name][0], None), known_at=known_at)
    [record] = records(system_of(case), [event])
    assert record.problem is not None and record.problem.startswith("known_at is ")


@each_case
def test_a_replay_draws_as_a_policy_for_other_labels_does(case: Case) -> None:
    """The instants depend on the event alone, so that two targets can be compared."""
    ids = [f"e{n}" for n in range(50)]
    again = replace(case.truth)  # type: ignore[type-var]
    assert [case.truth.known_at(archived(case, each, ANSWERS[case.target.name][0], None))
            for each in ids] == [
        again.known_at(archived(case, each, ANSWERS[case.target.name][0], None)) for each in ids]


def test_a_share_of_the_mistakes_is_reported_each_within_its_time() -> None:
    """900 of 1000, within two days, each with the true label."""
    truth = Complaints(source="reader", within=2 * DAY, maturity=3 * DAY, reported=0.9)
    people = People(system=system_of(replace_truth(truth)))
    for number in range(1000):
        event = archived(replace_truth(truth), f"e{number}", False, None)
        people.receive(event, prediction_id=f"p{number}", decision=True)
    reports = people.due(AT + 2 * DAY)
    assert 860 < len(reports) < 940 and people.pending == []
    assert all(report.due >= AT and report.label is False for report in reports)


def replace_truth(truth: Truth) -> Case:
    return Case(truth=truth, target=RETURNED, final=as_told)


def test_nobody_tells_what_nobody_knows() -> None:
    people = People(system=TOY)
    people.receive(ArchivedEvent(event_id="e", event_timestamp=AT, request={}, outcome=None),
                   prediction_id="p", decision=True)
    assert people.pending == []


def test_where_only_the_archive_knows_the_instant_an_outcome_without_one_is_set_aside() -> None:
    """Its truth says that each has one."""
    case = Case(truth=Recorded(source="archive", within=DAY), target=RETURNED, final=as_told)
    event = ArchivedEvent(event_id="e", event_timestamp=AT, request={}, outcome=True)
    [record] = records(system_of(case), [event])
    assert record.problem is not None and "known_at is None" in record.problem


@pytest.mark.parametrize(
    ("declare", "says"),
    [
        (lambda: Complaints(source="", within=DAY, maturity=DAY), "Complaints.source"),
        (lambda: Complaints(source="tech:", within=DAY, maturity=DAY), "Complaints.source"),
        (lambda: Complaints(source="r", within=0 * DAY, maturity=DAY), "Complaints.within"),
        (lambda: Complaints(source="r", within=DAY, maturity=HOUR), "Complaints.maturity"),
        (lambda: Complaints(source="r", within=DAY, maturity=DAY, reported=90), "reported"),
        (lambda: Outcomes(source="b", after=-DAY), "Outcomes.after"),
        (lambda: Outcomes(source="b", after=DAY, silence=False, grace=0 * DAY), "grace"),
        (lambda: Outcomes(source="b", after=DAY, grace=-DAY), "Outcomes.grace"),
        (lambda: Choices(source="s", within=0 * DAY, rest=False), "Choices.within"),
        (lambda: Recorded(source="a\n", within=DAY), "Recorded.source"),
        (lambda: Recorded(source="a", within=0 * DAY), "Recorded.within"),
        (lambda: replace(TOY, truth=Outcomes(source="buyer", after=DAY, silence="no")),
         "System 'toy': truth: returned is 'no'; expected true or false"),
        (lambda: replace(TOY, target=QUEUES, gates=(), scores_by=None,
                         truth=Choices(source="buyer", within=DAY, rest="othr")),
         "queue is 'othr'; .* Closest: 'other'"),
        (lambda: replace(TOY, truth=Outcomes(source="byuer", after=DAY)),
         "truth.source is 'byuer'; expected a source that `feedback` trusts.*Closest: 'buyer'"),
        (lambda: replace(TOY, feedback=FeedbackPolicy(
            trusted=(TrustClass(name="clerk", sources=("clerk:",)),), crowd=Crowd())),
         "truth.source is 'buyer'"),
        (lambda: replace(TOY, feedback=replace(TOY.feedback, conflict="median")),
         "feedback.conflict is 'median'; expected another policy"),
    ],
)
def test_a_truth_that_could_make_no_label_is_refused_where_it_is_declared(
    declare: Callable[[], object], says: str
) -> None:
    """Among them a policy that would count nobody's word."""
    with pytest.raises(DeclarationError, match=says):
        declare()


def test_a_policy_that_trusts_nobody_by_name_trusts_the_truths_source() -> None:
    system = replace(TOY, feedback=FeedbackPolicy(),
                     truth=Outcomes(source="bank", after=DAY, silence=False))
    trust = system.feedback.class_of("bank")
    assert trust is not None and trust.name == "truth"
    assert system.feedback.class_of("buyer") is None
    # It says what became of every event, however many there are.
    assert system.feedback.limit_of("bank") is None
    assert system.feedback.limit_of("buyer") == FeedbackPolicy().limit


@each_case
def test_a_label_of_another_type_is_none(case: Case) -> None:
    """People tell labels of the target, or nothing: an archive is no way around it."""
    event = replace(archived(case, "e", ANSWERS[case.target.name][0], None), outcome=object())
    with pytest.raises(InvalidRequest, match=case.target.name):
        People(system=system_of(case)).receive(event, prediction_id="p", decision=True)
    [record] = records(system_of(case), [event])
    assert record.problem is not None and record.problem.startswith("outcome: ")
