"""Laws of many words about one prediction: trust beats volume, order beats nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from ml_assets.core.feedback import ConflictPolicy, Crowd, FeedbackPolicy, TrustClass
from ml_assets.core.target import Label
from ml_assets.ingest.log.event_log import Feedback
from ml_assets.ingest.log.resolution import (
    Hearing,
    LabelChange,
    OutOfOrder,
    Resolution,
    first_words,
    resolve,
)

START = datetime(2024, 1, 8, tzinfo=UTC)
DAY = timedelta(days=1)
LONG_AGO = START - timedelta(days=365)

CLERK = TrustClass(name="clerk", sources=("clerk:",), weight=1)
AUDITOR = TrustClass(name="auditor", sources=("auditor",), weight=3)
POLICY = FeedbackPolicy(trusted=(CLERK, AUDITOR), crowd=Crowd(quorum=3))


def said(day: float, label: bool, source: str) -> Feedback:
    return Feedback(prediction_id="p", system="toy", label=label, source=source,
                    received_at=START + day * DAY)


def under(conflict: ConflictPolicy) -> FeedbackPolicy:
    return replace(POLICY, conflict=conflict)


def labels(found: Resolution) -> list[tuple[float, Label]]:
    """(days since the start, label)"""
    return [((change.known_at - START) / DAY, change.label) for change in found.changes]


def established(words: Iterable[Feedback]) -> dict[str, datetime]:
    """As if each source had spoken for a year."""
    return {word.source: LONG_AGO for word in words}


# --- trusted sources ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conflict", "expected"),
    [
        ("last_write_wins", [(1, True), (2, False), (4, True), (5, False)]),
        ("labeler_priority", [(1, True), (2, False), (4, True)]),
        ("majority_vote", [(1, True), (2, False), (4, True)]),
    ],
)
def test_each_conflict_policy_does_what_its_name_says(
    conflict: ConflictPolicy, expected: list[tuple[float, bool]]
) -> None:
    """An auditor weighs three clerks, contradicts one, and changes its mind."""
    words = [said(1, True, "clerk:a"), said(2, False, "auditor"), said(4, True, "auditor"),
             said(5, False, "clerk:b")]
    assert labels(resolve(words, under(conflict))) == expected


def test_a_majority_is_of_weights_and_a_tie_changes_nothing() -> None:
    """Three clerks outweigh nobody where an auditor weighs three; the fourth tips it."""
    words = [said(1, True, "auditor"), *(said(2 + n, False, f"clerk:{n}") for n in range(4))]
    found = resolve(words, under("majority_vote"))
    assert labels(found) == [(1, True), (5, False)]
    assert labels(resolve(words[:4], under("majority_vote"))) == [(1, True)]
    assert "contradict each other" in resolve(words[:4], under("majority_vote")).says


def test_under_priority_a_lower_class_is_kept_and_has_no_say() -> None:
    """It tells its source so."""
    words = [said(1, True, "auditor"), said(2, False, "clerk:a")]
    found = resolve(words, under("labeler_priority"))
    assert labels(found) == [(1, True)]
    assert found.counted == {"auditor"}
    assert found.changes[0].by == "auditor"
    assert "1 of 2 trusted sources say otherwise" in found.says


def test_of_contradicting_words_in_one_instant_the_heavier_counts() -> None:
    """And of equally heavy ones neither, as long as nothing was known before."""
    assert labels(resolve([said(1, True, "clerk:a"), said(1, False, "auditor")], POLICY)) == [
        (1, False)
    ]
    undecided = [said(1, True, "clerk:a"), said(1, False, "clerk:b")]
    assert labels(resolve(undecided, POLICY)) == []
    assert labels(resolve([said(0, True, "clerk:c"), *undecided], POLICY)) == [(0, True)]


def test_a_source_that_contradicts_itself_in_one_instant_has_said_nothing_then() -> None:
    words = [said(1, True, "auditor"), said(2, True, "auditor"), said(2, False, "auditor")]
    assert labels(resolve(words, POLICY)) == [(1, True)]


# --- anonymous sources --------------------------------------------------------------------


def test_a_quorum_of_established_sources_settles_a_label_and_a_later_one_turns_it() -> None:
    """A lead of three: two against one is not enough, and a lost lead keeps the label."""
    words = [said(1, False, "a"), said(2, False, "b"), said(3, True, "c"), said(4, False, "d"),
             said(5, False, "e"), *(said(6 + n, True, f"t{n}") for n in range(6))]
    found = resolve(words, POLICY, established(words))
    assert labels(found) == [(5, False), (11, True)]
    assert found.changes[0].by == "anonymous"


def test_a_trusted_word_ends_the_vote() -> None:
    words = [*(said(n, False, f"s{n}") for n in range(5)), said(6, True, "clerk:a"),
             *(said(7, False, f"t{n}") for n in range(50))]
    found = resolve(words, POLICY, established(words))
    assert labels(found) == [(2, False), (6, True)]
    assert found.counted == {"clerk:a"}
    assert "anonymous words change nothing beside it" in found.says


def test_without_a_crowd_anonymous_words_are_kept_and_make_no_label() -> None:
    lone = replace(POLICY, crowd=None)
    words = [said(n, False, f"s{n}") for n in range(100)]
    found = resolve(words, lone, established(words))
    assert (found.changes, found.counted) == ((), frozenset())
    assert labels(resolve([*words, said(200, True, "auditor")], lone)) == [(200, True)]


def test_what_an_anonymous_word_weighs_is_settled_as_it_is_said() -> None:
    """A source that has grown old meanwhile must change its mind to weigh more."""
    policy = replace(POLICY, crowd=Crowd(quorum=1.5, probation=3 * DAY, newcomers_at_most=0.5))
    words = [said(0, False, "a"), said(5, False, "b")]
    assert labels(resolve(words, policy, {"b": START})) == []
    later = [*words, said(6, True, "a"), said(7, False, "a")]
    assert labels(resolve(later, policy, {"b": START})) == [(7, False)]


def test_probation_ends_with_its_last_instant() -> None:
    policy = replace(POLICY, crowd=Crowd(quorum=1, probation=7 * DAY, newcomers_at_most=0))
    words = [said(7, False, "a")]
    assert labels(resolve(words, policy, {"a": START})) == [(7, False)]
    assert labels(resolve(words, policy, {"a": START + timedelta(microseconds=1)})) == []


def test_the_answer_shows_how_far_the_crowd_has_come() -> None:
    words = [said(1, False, "a"), said(1, False, "b"), said(1, True, "c")]
    found = resolve(words, POLICY, {"a": LONG_AGO})
    assert "weigh 1.25 for False and 0.25 for True, and a lead of 3 settles it" in found.says
    assert found.counted == {"a", "b", "c"}


# --- laws ---------------------------------------------------------------------------------

trusted_sources = st.sampled_from(["clerk:a", "clerk:b", "auditor"])
anonymous_sources = st.sampled_from([f"s{n}" for n in range(9)])
days = st.integers(0, 12)
histories = st.dictionaries(anonymous_sources, st.just(LONG_AGO))
policies = st.builds(
    FeedbackPolicy,
    trusted=st.just((CLERK, AUDITOR)),
    conflict=st.sampled_from(["last_write_wins", "labeler_priority", "majority_vote"]),
    crowd=st.one_of(st.none(), st.builds(
        Crowd, quorum=st.sampled_from([1.5, 2.0, 3.0]),
        newcomer_weight=st.sampled_from([0, 0.3, 1]), newcomers_at_most=st.sampled_from([0, 1.0]),
        probation=st.sampled_from([0 * DAY, 4 * DAY]),
    )),
)
anybody = st.one_of(trusted_sources, anonymous_sources)
many_words = st.lists(st.builds(said, days, st.booleans(), anybody), max_size=25)


@given(many_words, policies, histories, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(
    words: list[Feedback], policy: FeedbackPolicy, first: dict[str, datetime], random: Random
) -> None:
    """Only the instants do, also among words of one instant."""
    shuffled = list(words)
    random.shuffle(shuffled)
    assert resolve(shuffled, policy, first) == resolve(words, policy, first)


@given(many_words, policies, histories)
def test_words_that_are_heard_one_by_one_come_to_what_they_come_to_together(
    words: list[Feedback], policy: FeedbackPolicy, first: dict[str, datetime]
) -> None:
    """After each of them; several of one instant too, if each is of another source."""
    ordered = sorted({(word.received_at, word.source): word for word in words}.values(),
                     key=lambda word: word.received_at)
    known_first = {**first_words(ordered), **first}
    hearing = Hearing(policy, known_first)
    for place, word in enumerate(ordered):
        hearing.hear([word])
        expected = resolve(ordered[: place + 1], policy, known_first)
        assert hearing.resolution() == expected
        assert {each.source for each in ordered if hearing.counts(each.source)} == expected.counted


def test_words_are_heard_in_the_order_of_time_or_not_at_all() -> None:
    hearing = Hearing(POLICY, {})
    hearing.hear([said(2, True, "a")])
    for word in (said(1, True, "b"), said(2, False, "a")):
        with pytest.raises(OutOfOrder):
            hearing.hear([word])
    hearing.hear([said(2, True, "b")])


@given(many_words, policies, histories, st.integers(0, 24), days)
def test_a_repetition_changes_nothing(
    words: list[Feedback], policy: FeedbackPolicy, first: dict[str, datetime], which: int,
    later: int,
) -> None:
    """Neither the same word twice nor one that a source says again while it stands."""
    assert resolve([*words, *words], policy, first) == resolve(words, policy, first)
    latest = {word.source: word for word in sorted(words, key=lambda word: word.received_at)}
    if not latest:
        return
    word = list(latest.values())[which % len(latest)]
    instant = [each for each in words if each.source == word.source
               and each.received_at == word.received_at]
    if len({each.label for each in instant}) == 1:
        again = structs.replace(word, received_at=word.received_at + later * DAY)
        assert resolve([*words, again], policy, first) == resolve(words, policy, first)


@given(many_words, policies, histories, days)
def test_what_is_known_at_an_instant_follows_from_the_words_up_to_it(
    words: list[Feedback], policy: FeedbackPolicy, first: dict[str, datetime], until: int
) -> None:
    """No label looks into the future, and none that was known is taken back afterwards."""
    instant = START + until * DAY
    past = [word for word in words if word.received_at <= instant]
    before: tuple[LabelChange, ...] = tuple(
        change for change in resolve(words, policy, first).changes if change.known_at <= instant
    )
    assert resolve(past, policy, first).changes == before


@given(many_words, policies, histories)
def test_a_label_that_is_known_stays_known_and_each_change_is_one(
    words: list[Feedback], policy: FeedbackPolicy, first: dict[str, datetime]
) -> None:
    """A prediction never becomes unlabelled again; a change changes the label."""
    changes = resolve(words, policy, first).changes
    assert all(one.label != other.label for one, other in pairwise(changes))
    assert [one.known_at for one in changes] == sorted({one.known_at for one in changes})


@given(st.lists(st.builds(said, days, st.booleans(), trusted_sources), min_size=1, max_size=8),
       st.lists(st.builds(said, days, st.booleans(), anonymous_sources), max_size=40), policies)
def test_volume_never_outranks_trust(
    trusted: list[Feedback], anonymous: list[Feedback], policy: FeedbackPolicy
) -> None:
    """Once a trusted source has settled the label, the same label is known with and without
    any number of anonymous words, at every later instant."""
    alone = resolve(trusted, policy)
    if not alone.changes:
        return
    settled = alone.changes[0].known_at
    together = resolve([*trusted, *anonymous], policy, established(anonymous))
    for instant in (settled + n * DAY for n in range(13)):
        assert at(together, instant) == at(alone, instant)


@given(st.lists(st.builds(said, days, st.booleans(), st.integers(0, 300).map(str)), max_size=300))
def test_newcomers_settle_nothing_whatever_their_number(words: list[Feedback]) -> None:
    """Names cost nothing, so that new ones together weigh less than a quorum."""
    crowd = Crowd(quorum=2, probation=30 * DAY, newcomer_weight=1, newcomers_at_most=1.9)
    assert resolve(words, replace(POLICY, crowd=crowd)).changes == ()


@given(many_words, policies)
def test_the_words_of_one_prediction_know_their_newcomers_themselves(
    words: list[Feedback], policy: FeedbackPolicy
) -> None:
    """Without a history, a source is as old as its first word here."""
    assert resolve(words, policy) == resolve(words, policy, first_words(words))


def at(found: Resolution, instant: datetime) -> Label | None:
    known = [change.label for change in found.changes if change.known_at <= instant]
    return known[-1] if known else None
