"""Laws of the people in a replay: they complain about mistakes only, and the same every time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.policies import ReplayPolicy
from ml_assets.replay.people import People

AT = datetime(2024, 1, 8, tzinfo=UTC)
POLICY = ReplayPolicy(reporting=0.9, max_delay=timedelta(days=2))


def people(mistakes: int, policy: ReplayPolicy = POLICY) -> People:
    crowd = People(policy=policy)
    for number in range(mistakes):
        crowd.receive(event_id=f"e{number}", at=AT, prediction_id=f"p{number}", decision=True,
                      outcome=False)
    return crowd


@given(st.text(), st.booleans())
def test_nobody_complains_about_a_correct_decision(event_id: str, outcome: bool) -> None:
    """Silence is the normal case."""
    crowd = People(policy=POLICY)
    crowd.receive(event_id=event_id, at=AT, prediction_id="p", decision=outcome, outcome=outcome)
    assert crowd.pending == []


def test_about_the_declared_share_of_mistakes_is_reported_in_time() -> None:
    """900 of 1000, within two days, each with the true label."""
    reports = people(1000).due(AT + POLICY.max_delay)
    assert 860 < len(reports) < 940
    assert all(AT <= report.due < AT + POLICY.max_delay and not report.label for report in reports)


def test_two_replays_hear_the_same_complaints_at_the_same_instants() -> None:
    """The draws come from the event's id, not from a generator's state."""
    assert people(50).due(AT + POLICY.max_delay) == people(50).due(AT + POLICY.max_delay)


def test_a_report_is_made_once_and_in_the_order_of_time() -> None:
    """Taking what is due day by day gives what taking all at once gives."""
    crowd, noon = people(50), AT + timedelta(days=1)
    by_day = crowd.due(noon) + crowd.due(AT + POLICY.max_delay)
    assert by_day == people(50).due(AT + POLICY.max_delay) == sorted(by_day)
    assert crowd.due(AT + timedelta(days=9)) == []
