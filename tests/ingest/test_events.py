"""From raw requests to events: nothing is dropped in silence, nothing broken gets in."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from ml_assets.core.runtime.isolation import Fault, attempt
from ml_assets.core.source import ArchivedEvent
from ml_assets.ingest.contracts.rows import Contract
from ml_assets.ingest.events import frame, parse_raw, raw_from_archive
from ml_assets.ingest.posted import read_json
from ml_assets.ingest.tables import LOG_SEQ, stream_schema
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


VALUES: st.SearchStrategy[Any] = st.sampled_from([
    "corner", "", "a\nb", "x" * 1001, None, True, 3, 3.5, -1, 2**53 + 1, 10**400, math.nan,
    "\udfff", [1], {},
])
REQUESTS = st.fixed_dictionaries(
    {}, optional={"shop": VALUES, "note": VALUES, "amount": VALUES | st.just(1.0)})


@budget(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcde"), REQUESTS), max_size=8))
def test_rows_are_taken_together_as_they_are_taken_one_by_one(
    records: list[tuple[str, dict[str, object]]]
) -> None:
    """The law, with sound rows among them, of which some have an id that was there before."""
    sound = {"shop": "corner", "note": "", "amount": 2}
    received = [(f"s{place}", sound) for place in range(2)] + records
    rows = frame([(event_id, AT, AT, json.dumps(request), None, None, None, None)
                  for event_id, request in received])
    together = parse_raw(TOY, rows)
    contract, seen = Contract.of(TOY, TOY.asked), set[str]()
    kept, aside = [], []
    for event_id, request in received:
        row = attempt(lambda event_id, request: contract.row({
            **TOY.source.parse(read_json(json.dumps(request))), "event_id": event_id,
            "event_timestamp": AT, "accepted_at": AT, LOG_SEQ: None}, seen), event_id, request)
        if isinstance(row, Fault):
            aside.append((event_id, row.reason))
        else:
            kept.append(row)
    expected = pa.Table.from_pylist(kept, stream_schema(TOY.asked))
    assert together.rows.equals(expected)
    found = zip(together.quarantine["event_id"], together.quarantine["reason"], strict=True)
    assert list(found) == aside
