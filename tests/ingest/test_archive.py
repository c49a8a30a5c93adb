"""One bad record of an archive is set aside alone, with its reason."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from ml_assets.core.assets import keys
from ml_assets.core.settings import Settings
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.time import EARLIEST
from ml_assets.ingest.archive import records, usable
from ml_assets.ingest.assets import build
from ml_assets.ingest.events import Parsed, parse_raw, raw_from_archive
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import QUARANTINE, events_schema, labels_schema, raw_schema
from tests.toy import TOY, ToySource, with_stream

RAW = raw_schema(TOY)

FIRST = datetime(2024, 1, 2, tzinfo=UTC)
CIRCLE: dict[str, Any] = {}
CIRCLE["shop"] = CIRCLE


def sound(n: int) -> ArchivedEvent:
    return ArchivedEvent(
        event_id=f"e{n}", event_timestamp=FIRST + timedelta(minutes=n),
        request={"shop": "corner", "note": f"note {n}", "amount": float(n)}, outcome=n % 2 == 0,
    )


def asking(**of: object) -> dict[str, object]:
    return {**sound(3).request, **of}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"event_timestamp": datetime(1, 1, 1, tzinfo=UTC)}, "event_timestamp: it is 0001-01-01"),
    ({"event_timestamp": datetime(9999, 12, 31, tzinfo=UTC)}, "expected an instant"),
    ({"event_timestamp": datetime(1677, 9, 21, tzinfo=UTC)}, "expected an instant"),
    ({"event_timestamp": datetime(2262, 4, 12, tzinfo=UTC)}, "expected an instant"),
    ({"event_timestamp": FIRST.replace(tzinfo=None)}, "no time zone"),
    ({"event_timestamp": date(2024, 1, 2)}, "expected a datetime"),
    ({"event_timestamp": None}, "expected a datetime"),
    ({"event_timestamp": pd.NaT}, "expected a datetime"),
    ({"event_timestamp": "2024-01-02T00:00:00Z"}, "expected a datetime"),
    ({"event_timestamp": 1_704_153_600}, "expected a datetime"),
    ({"event_id": None}, "event_id is None"),
    ({"event_id": ""}, "event_id is ''"),
    ({"event_id": 7}, "event_id is 7"),
    ({"event_id": math.nan}, "event_id is nan"),
    ({"event_id": "x\0a"}, "control character"),
    ({"event_id": "x\n"}, "control character"),
    ({"event_id": "\ud800"}, "surrogate"),
    ({"event_id": "x" * 201}, "201 characters"),
    ({"event_id": "e1"}, "was there before"),
    ({"request": None}, "request is None"),
    ({"request": [1]}, "request is [1]"),
    ({"request": asking(shop=b"corner")}, "TypeError"),
    ({"request": CIRCLE}, "Circular"),
    ({"request": {}}, "amount is None"),
    ({"request": asking(amount="three")}, "amount is 'three'"),
    ({"request": asking(amount=math.nan)}, "amount is nan"),
    ({"request": asking(amount=10**400)}, "OverflowError"),
    ({"request": asking(amount=1e39)}, "amount is 1e+39"),
    ({"request": asking(amount=-1)}, "amount is -1"),
    ({"request": asking(note="x" * 1001)}, "1,001 characters"),
    ({"request": asking(note="\ud800")}, "surrogate"),
    ({"request": asking(shop="a\0b")}, "shop: "),
    ({"request": asking(shop="x" * 1001)}, "shop: "),
    ({"outcome": 37.5}, "outcome: returned is 37.5; expected true or false"),
    ({"outcome": 1}, "outcome: returned is 1;"),
    ({"outcome": "no"}, "outcome: returned is 'no'"),
    ({"outcome": math.nan}, "outcome: returned is nan"),
]


def taken_in(history: list[Any]) -> Parsed:
    return parse_raw(TOY, raw_from_archive(TOY, history))


@pytest.mark.parametrize(("bad", "says"), BAD, ids=lambda each: str(ascii(each))[:50])
def test_a_bad_record_is_set_aside_alone_with_its_reason(bad: dict[str, Any], says: str) -> None:
    history = [sound(n) for n in range(6)]
    history[3] = replace(history[3], **bad)
    parsed = taken_in(history)
    assert parsed.events["event_id"].tolist() == ["e0", "e1", "e2", "e4", "e5"]
    assert len(parsed.quarantine) == 1
    assert says in parsed.quarantine["reason"][0]


def test_a_record_that_is_no_event_at_all_is_set_aside_too() -> None:
    parsed = taken_in([sound(0), None, {"event_id": "e1"}, sound(2)])
    assert parsed.events["event_id"].tolist() == ["e0", "e2"]
    assert parsed.quarantine["reason"].str.contains("AttributeError").all()


@budget(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([None, *BAD]), max_size=12))
def test_whatever_is_bad_the_sound_records_go_on_and_none_is_lost(
    kinds: list[tuple[dict[str, Any], str] | None]
) -> None:
    """Neither the number nor the order of bad records matters, and both tables can be stored."""
    history = [sound(n) if kind is None else replace(sound(n), **kind[0])
               for n, kind in enumerate(kinds)]
    # Without a sound "e1" before it, a record of this id is fine.
    lenient = {f"e{n}" for n, kind in enumerate(kinds)
               if kind and kind[0].get("event_id") == "e1"}
    parsed = taken_in(history)
    found = set(parsed.events["event_id"]) - lenient - {"e1"}
    assert found == {f"e{n}" for n, kind in enumerate(kinds) if kind is None} - {"e1"}
    assert len(parsed.events) + len(parsed.quarantine) == len(history)


def test_a_record_without_an_instant_is_filed_under_that_of_the_record_before() -> None:
    lost = replace(sound(1), event_timestamp=None)  # type: ignore[arg-type]
    at = [each.at for each in records(TOY, [lost, sound(5), lost, sound(6)], since=FIRST)]
    assert at == [FIRST, sound(5).event_timestamp, sound(5).event_timestamp,
                  sound(6).event_timestamp]
    assert [each.at for each in records(TOY, [lost])] == [EARLIEST]


def test_instants_in_other_zones_and_units_become_utc() -> None:
    east = timezone(timedelta(hours=5, minutes=45))
    history = [
        sound(0), replace(sound(1), event_timestamp=sound(1).event_timestamp.astimezone(east)),
        replace(sound(2), event_timestamp=pd.Timestamp(sound(2).event_timestamp)),
    ]
    assert [event.event_timestamp for event in usable(TOY, history)] == [
        sound(n).event_timestamp for n in range(3)]
    assert taken_in(history).quarantine.empty


def materialise(settings: Settings, history: list[ArchivedEvent]) -> dg.ExecuteInProcessResult:
    system = with_stream(TOY, source=ToySource(history=tuple(history)))
    return dg.materialize(
        build(system), resources={"settings": settings}, raise_on_error=True,
        selection=dg.AssetSelection.assets(*keys(system, "raw", "events", "labels")),
        tags={"dagster/asset_partition_range_start": "2024-01-01",
              "dagster/asset_partition_range_end": "2024-01-07"},
    )


def test_a_day_with_every_kind_of_bad_record_is_taken_in_by_the_real_assets(
    settings: Settings
) -> None:
    """Each lies in the quarantine of its day; the flow goes on; no wrong outcome is a label."""
    history: list[Any] = []
    for place, (bad, _) in enumerate(BAD):
        history += [sound(100 * place + n) for n in range(25)]
        history.append(replace(sound(100 * place + 50), **bad))
    # The id that is there twice is the one that comes first.
    history = [replace(each, event_timestamp=FIRST + timedelta(minutes=place))
               if isinstance(each.event_timestamp, datetime) and each.event_timestamp.year == 2024
               and each.event_timestamp.tzinfo is not None else each
               for place, each in enumerate(history)]
    result = materialise(settings, history)
    assert all(check.passed for check in result.get_asset_check_evaluations())
    lake = Lake(settings.lake)
    events = lake.read("toy", "events", events_schema(TOY))
    aside = lake.read("toy", "quarantine", QUARANTINE)
    assert (len(events), len(aside)) == (25 * len(BAD), len(BAD))
    for (_, says), reason in zip(BAD, aside["reason"], strict=True):
        assert says in reason
    labels = lake.read("toy", "labels", labels_schema(TOY))
    wrong = {f"e{100 * place + 50}" for place, (bad, _) in enumerate(BAD) if "outcome" in bad}
    assert wrong and not wrong & set(labels["event_id"])
    assert set(events["event_id"]) <= set(labels["event_id"])
    assert len(lake.read("toy", "raw", RAW)) == len(history)


def test_on_a_quiet_day_one_bad_record_warns_and_stops_nothing(settings: Settings) -> None:
    result = materialise(settings, [sound(0), replace(sound(1), request={})])
    [check] = [each for each in result.get_asset_check_evaluations()
               if each.check_name == "quarantine_is_small"]
    assert not check.passed and check.severity == dg.AssetCheckSeverity.WARN


def test_a_source_that_has_changed_stops_the_flow(settings: Settings) -> None:
    broken = [replace(sound(n), request={"total": 3}) for n in range(20)]
    with pytest.raises(Exception, match="quarantine_is_small"):
        materialise(settings, [sound(100), *broken])
