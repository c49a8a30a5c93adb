"""Who speaks in a replay: those whom the truth declares, and auditors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ml_assets.core.feedback import Audit, FeedbackPolicy
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.system import System
from ml_assets.core.time import DAY
from ml_assets.core.truths import Complaints
from ml_assets.ingest.log.served import prediction_id
from ml_assets.replay.people import People, Report
from tests.tickets import TICKETS
from tests.toy import TOY

AT = datetime(2024, 1, 8, tzinfo=UTC)
SILENT = Complaints(source="reader", within=DAY, maturity=2 * DAY, reported=0.0)


def audited(system: System, share: float) -> System:
    return replace(system, truth=SILENT, feedback=FeedbackPolicy(audit=Audit(share=share)))


def heard(system: System, labels: Sequence[object], decision: object) -> list[Report]:
    people = People(system=system)
    for number, outcome in enumerate(labels):
        event = ArchivedEvent(event_id=f"e{number}", event_timestamp=AT, request={},
                              outcome=outcome)
        people.receive(event, prediction_id=prediction_id(system.name, event.event_id),
                       decision=decision)
    return people.due(AT + 9 * DAY)


@pytest.mark.parametrize(("system", "right", "wrong"), [
    (TOY, True, False), (TICKETS, "billing", "returns")])
def test_auditors_say_what_was_true_before_silence_speaks(
    system: System, right: object, wrong: object
) -> None:
    """Of right and wrong answers alike, and of those alone that are drawn; nobody else says
    anything where no mistake is reported."""
    labels = [right, wrong] * 100
    words = heard(audited(system, 0.2), labels, right)
    expected = {prediction_id(system.name, f"e{number}"): label
                for number, label in enumerate(labels)}
    assert 20 < len(words) < 60
    assert {each.label for each in words} == {right, wrong}
    for each in words:
        assert (each.source, each.due) == ("audit", AT + DAY)
        assert each.label == expected[each.prediction_id]
        assert Audit(share=0.2).propensity(each.prediction_id) == 0.2
    assert len(heard(audited(system, 1.0), labels, right)) == 200
    assert heard(replace(
        system, truth=SILENT, feedback=FeedbackPolicy()), labels, right) == []


def test_what_was_said_is_not_said_again_after_an_interrupt() -> None:
    """By the same: of a prediction that is audited and wrong two sources speak."""
    system = replace(audited(TOY, 1.0), truth=replace(SILENT, reported=1.0))
    people = People(system=system)
    people.receive(ArchivedEvent(event_id="e", event_timestamp=AT, request={}, outcome=True),
                   prediction_id="p", decision=False)
    assert {each.source for each in people.pending} == {"reader", "audit"}
    people.forget({("p", "reader")})
    assert [each.source for each in people.due(AT + timedelta(days=9))] == ["audit"]
