"""The API admits exactly the events that ingestion admits later."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.data.columns import Column
from ml_assets.core.errors import Quarantined
from ml_assets.core.source import Source
from ml_assets.core.system import System
from ml_assets.ingest.contracts.rows import Contract, read_event
from ml_assets.ingest.contracts.values import breach_of
from ml_assets.ingest.sources import CsvFile, EventRows, Slates
from ml_assets.serving.answer.intake.admission import Admission
from tests.serving.kit import NOON
from tests.toy import TOY

numbers = st.floats() | st.sampled_from([0.0, -0.0, 1.0, math.nan, math.inf, -1e-9, 1e39])
odd = st.text(st.sampled_from("a \0\n\x85\ud800\u2028é\U0001f600"), max_size=5)
texts = st.text(max_size=5) | odd | st.integers(990, 1010).map(lambda n: "x" * n)


@settings(max_examples=60, deadline=None)
@given(amount=numbers, note=texts, shop=texts)
def test_the_contract_at_the_door_is_the_contract_of_the_lake(
    amount: float, note: str, shop: str
) -> None:
    event = {"shop": shop, "note": note, "amount": amount}
    row = {**event, "event_id": "e", "event_timestamp": NOON, "accepted_at": NOON}
    refused = bool(Contract.of(TOY, TOY.asked).breaches([row]))
    # The quick look may send an odd event to the thorough one, and never lets a bad one in.
    assert not (refused and Admission(TOY)._is_sound(event))
    assert refused or Admission(TOY)._is_sound(event)


def test_a_column_that_the_parser_forgot_or_mistyped_is_refused() -> None:
    number = Column(name="amount", dtype="number", description="", maximum=5)
    for value, says in ((None, "amount is None; expected a number"), ("3", "expected a number"),
                        (6.0, "amount is 6; expected at most 5")):
        assert says in str(breach_of(number, value))
    assert breach_of(number, 5.0) is None


@given(st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
))
def test_any_json_is_either_an_event_or_quarantined(posted: object) -> None:
    try:
        event = Admission(TOY).read(json.dumps(posted))
    except Quarantined as error:
        assert str(error)
    else:
        assert set(event) == {"shop", "note", "amount"}


EXTRA = Column(name="extra", dtype="text", optional=True, description="dropped later")
ITEM = Column(name="film", dtype="text", description="shown")


def rows_of(*columns: Column) -> EventRows:
    return EventRows(rows=CsvFile(file="x.csv"), columns=columns, timestamp="at")


def slates_of(*columns: Column) -> Slates:
    return Slates(requests=rows_of(*columns, replace(ITEM, name="taken", many=True)),
                  item="film", taken="taken", others=1)


@pytest.mark.parametrize("source", [rows_of, slates_of])
def test_what_the_door_took_is_read_on_after_a_column_was_dropped(
    source: Callable[..., Source]
) -> None:
    """Only clients are refused it: else nothing served before would be counted or filed."""
    item = (ITEM,) if source is slates_of else ()

    def declared(*columns: Column) -> System:
        return replace(TOY, streams=(replace(
            TOY.asked, source=source(*columns), columns=(*columns, *item)),))

    before, after = declared(*TOY.columns, EXTRA), declared(*TOY.columns)
    event = {"shop": "s", "note": "n", "amount": 3.0} | {each.name: "f" for each in item}
    posted = json.dumps({**event, "extra": "x"})
    assert Admission(before).read(posted) == {**event, "extra": "x"}
    with pytest.raises(Quarantined, match=r"'extra', which is no column"):
        Admission(after).read(posted)
    assert read_event(after, posted) == event
