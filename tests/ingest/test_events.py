"""From raw requests to events: nothing is dropped in silence, nothing broken gets in."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd

from ml_assets.core.source import ArchivedEvent
from ml_assets.ingest.events import parse_raw, raw_from_archive
from tests.toy import TOY

AT = datetime(2024, 1, 2, 12, tzinfo=UTC)


def raw(*requests: dict[str, object]) -> pd.DataFrame:
    return raw_from_archive(TOY, [
        ArchivedEvent(event_id=f"e{place}", event_timestamp=AT, request=request, outcome=None)
        for place, request in enumerate(requests)
    ])


def test_a_record_that_cannot_be_parsed_is_set_aside_with_the_reason() -> None:
    """The others go on; the request is kept so that it can be parsed again."""
    parsed = parse_raw(TOY, raw({"shop": "s", "amount": 3}, {"shop": "s", "amount": "three"}))
    assert parsed.events["event_id"].tolist() == ["e0"]
    assert parsed.quarantine["event_id"].tolist() == ["e1"]
    assert "amount is 'three'" in parsed.quarantine["reason"][0]
    assert '"three"' in parsed.quarantine["request"][0]


def test_a_record_that_breaks_the_contract_is_set_aside_with_column_and_value() -> None:
    """The declared minimum of `amount` is 0, the longest `note` has 1000 characters."""
    parsed = parse_raw(TOY, raw({"amount": -5}, {"amount": 1, "note": "x" * 1001}, {"amount": 1}))
    assert parsed.events["event_id"].tolist() == ["e2"]
    reasons = dict(zip(parsed.quarantine["event_id"], parsed.quarantine["reason"], strict=True))
    assert "amount" in reasons["e0"] and "-5" in reasons["e0"]
    assert "note" in reasons["e1"]


def test_no_record_is_lost_between_events_and_quarantine() -> None:
    """Every raw record is in exactly one of the two tables."""
    received = raw({"amount": 1}, {"amount": -1}, {}, {"amount": 2})
    parsed = parse_raw(TOY, received)
    found = [*parsed.events["event_id"], *parsed.quarantine["event_id"]]
    assert sorted(found) == sorted(received["event_id"])


def test_a_day_without_records_gives_empty_tables() -> None:
    """Nothing happened is not an error."""
    parsed = parse_raw(TOY, raw())
    assert parsed.events.empty and parsed.quarantine.empty
