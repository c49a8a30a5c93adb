"""What will not work in a system is said before anything runs, one line for each thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ml_assets.core.data.columns import Column
from ml_assets.core.data.tables import Table
from ml_assets.core.settings import Settings
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.system import System
from ml_assets.projects.check import Noted, examine
from ml_assets.projects.check.examine import about_history
from tests.toy import SHOPS, TOY, RowsInMemory, ToySource, with_stream

Change = Callable[[int, dict[str, Any]], dict[str, Any]]
START = datetime(2024, 1, 1, tzinfo=UTC)


def history(change: Change = lambda number, fields: {}, count: int = 600) -> list[ArchivedEvent]:
    """Of the toy: an hour between two purchases, every third comes back."""
    events = []
    for number in range(count):
        fields: dict[str, Any] = {
            "event_id": f"e{number}", "event_timestamp": START + timedelta(hours=number),
            "request": {"shop": f"shop {number % 7}", "note": f"note {number % 11}",
                        "amount": float(number * 37 % 100)},
            "outcome": number * 7919 % 3 == 0}
        events.append(ArchivedEvent(**fields | change(number, fields)))
    return events


def of(events: Sequence[ArchivedEvent], system: System = TOY, **changes: Any) -> list[str]:
    found = about_history(
        replace(with_stream(system, source=ToySource(history=tuple(events))),
                **{"tables": (), **changes}), Settings())
    return [str(each) for each in found]


def named(lines: list[str], about: str, *levels: str) -> list[str]:
    return [line for line in lines
            if line[6:].startswith(about) and (not levels or line.split()[0] in levels)]


def test_a_sound_history_has_nothing_against_it() -> None:
    calendar = replace(TOY.calendar, go_live=date(2024, 1, 20))
    lines = of(history(), calendar=calendar)
    assert [line for line in lines if not line.startswith("ok")] == []
    assert len(lines) > 6


def test_events_of_the_future_are_said() -> None:
    """Of seconds read as something else, of a due date: a replay would set its clock there."""
    calendar = replace(TOY.calendar, go_live=date(2094, 1, 20), last_day=None)
    lines = of(history(lambda number, fields: {
        "event_timestamp": fields["event_timestamp"].replace(year=2094)}), calendar=calendar)
    assert "600 events are in the future, from 2094-01-01 on" in named(lines, "days", "warn")[0]


def test_rows_that_do_not_fit_are_counted_by_reason_with_one_of_them() -> None:
    lines = of(history(lambda number, fields: (
        {"request": {"amount": "dear"}} if number % 4 == 0 else {})))
    [line] = named(lines, "rows", "fail")
    assert "150 of 600 cannot be used, for example e0: amount is 'dear'" in line


def test_a_few_bad_rows_are_a_warning() -> None:
    lines = of(history(lambda number, fields: {"event_timestamp": None} if number == 3 else {}))
    [line] = named(lines, "rows", "warn")
    assert "1 of 600 cannot be used, for example e3: event_timestamp" in line


def test_duplicated_ids_are_named() -> None:
    lines = of(history(lambda number, fields: {"event_id": f"e{number // 2}"}))
    assert any("e0' was there before" in line for line in named(lines, "rows", "fail"))


def test_events_out_of_order_are_named() -> None:
    lines = of(history(lambda number, fields: (
        {"event_timestamp": START} if number == 50 else {})))
    assert any("e50 is earlier than the event before it" in line for line in lines)


def test_a_calendar_that_does_not_cover_the_events_is_said() -> None:
    calendar = replace(TOY.calendar, first_day=date(2024, 1, 3), last_day=date(2024, 1, 10))
    lines = of(history(), calendar=calendar)
    assert "48 events are before first_day, 2024-01-03" in named(lines, "days", "fail")[0]
    assert "are after last_day, 2024-01-10" in named(lines, "days", "warn")[0]


def test_a_calendar_without_live_events_is_said() -> None:
    calendar = replace(TOY.calendar, go_live=date(2024, 2, 15))
    assert "has nothing to replay" in named(of(history(), calendar=calendar), "days", "warn")[-1]


def test_a_history_too_short_for_its_labels_is_said() -> None:
    calendar = replace(TOY.calendar, go_live=date(2024, 1, 3))
    [line] = named(of(history(), calendar=calendar), "labels", "fail")
    assert "0 to train on and" in line
    assert "Set a later go_live" in line


def test_one_label_only_and_no_label_are_said() -> None:
    one = of(history(lambda number, fields: {"outcome": False}))
    assert "all are False: there is nothing to tell apart" in named(one, "labels", "fail")[0]
    none = of(history(lambda number, fields: {"outcome": None}))
    assert "no event has an outcome" in named(none, "labels", "fail")[0]


def test_a_rare_label_is_said() -> None:
    lines = of(history(lambda number, fields: {"outcome": number in (7, 77, 177)}))
    assert "True has 3" in named(lines, "labels", "warn")[0]


def test_entities_that_never_come_back_are_said() -> None:
    lines = of(history(lambda number, fields: {
        "request": {**fields["request"], "shop": f"shop {number}"}}))
    assert "Hardly one comes back" in named(lines, "entities", "warn")[0]


@pytest.mark.parametrize("give_away", [
    lambda outcome: {"note": "refunded" if outcome else "kept"},
    lambda outcome: {"amount": 50.0 + outcome},
])
def test_a_column_that_knows_the_outcome_is_named(give_away: Callable[[bool], Any]) -> None:
    lines = of(history(lambda number, fields: {
        "request": {**fields["request"], **give_away(bool(fields["outcome"]))}}))
    [line] = named(lines, "leakage", "fail")
    assert "seems to know the outcome: its value alone tells 100% of the label" in line


def test_a_good_column_is_above_suspicion() -> None:
    """One that is right three times out of four, which no leak would be."""
    lines = of(history(lambda number, fields: {"request": {
        **fields["request"],
        "amount": 90.0 if fields["outcome"] != (number % 4 == 0) else 10.0}}))
    assert named(lines, "leakage", "warn", "fail") == []


class Planned(ToySource):
    """One more column, an instant."""

    def parse(self, request: Any) -> Any:
        return {**super().parse(request), "due": request["due"]}


def test_an_instant_later_than_its_event_is_named() -> None:
    events = history(lambda number, fields: {"request": {
        **fields["request"], "due": (START + timedelta(hours=300)).isoformat()}})
    due = Column(name="due", dtype="instant", description="when it came back")
    system = with_stream(TOY, source=Planned(history=tuple(events)),
                         columns=(*TOY.columns, due))
    lines = [str(each) for each in about_history(system, Settings())]
    assert any("due knows the future: 300 of 600 values are later" in line for line in lines)


def shops(*rows: dict[str, Any], known_at: str | None = "told") -> Table:
    return replace(SHOPS, known_at=known_at, rows=RowsInMemory(rows=rows), columns=(
        *SHOPS.columns, Column(name="closed", dtype="instant", optional=True,
                               description="when it ended")))


def shop(number: int, since: datetime, **changes: Any) -> dict[str, Any]:
    return {"shop": f"shop {number}", "since": since.isoformat(), "told": since.isoformat(),
            "size": 10.0 + number, "kind": "street", "staff": number, "closed": None} | changes


def test_a_sound_table_has_nothing_against_it() -> None:
    rows = [shop(number, START + day * timedelta(days=5)) for number in range(7)
            for day in range(3)]
    lines = of(history(), tables=(shops(*rows),))
    assert named(lines, "shops") == [
        "ok    shops      21 rows of 7 keys", "ok    shops      100% of the events find a row"]


def test_each_of_several_tables_is_looked_through() -> None:
    rows = [shop(number, START + day * timedelta(days=5)) for number in range(7)
            for day in range(3)]
    lines = of(history(), tables=(shops(*rows), replace(shops(*rows), name="stalls")))
    assert len(named(lines, "shops")) == len(named(lines, "stalls")) == 2


def test_a_table_of_today_that_is_dated_back_is_suspected() -> None:
    rows = [shop(number, START - timedelta(days=30)) for number in range(7)]
    [line] = named(of(history(), tables=(shops(*rows, known_at=None),)), "shops", "warn")
    assert "each key has one row, of 2023-12-02 at the latest, before the first event" in line
    assert named(of(history(), tables=(shops(*rows),)), "shops", "warn", "fail") == []


def test_an_instant_that_is_later_than_its_row_was_known_is_named() -> None:
    rows = [shop(number, START, closed=(START + timedelta(days=number)).isoformat())
            for number in range(7)]
    [line] = named(of(history(), tables=(shops(*rows),)), "shops", "fail")
    assert "closed knows the future: 6 of 7 values are later than their row was known" in line


def test_a_column_of_a_table_that_knows_the_outcome_is_named() -> None:
    """Each purchase's own row, written down before the event, as it turned out."""
    rows = [shop(number % 7, START + timedelta(hours=number, minutes=-1),
                 size=80.0 if number * 7919 % 3 == 0 else 20.0) for number in range(600)]
    [line] = named(of(history(), tables=(shops(*rows),)), "shops", "fail")
    assert "size seems to know the outcome: its value alone tells 100% of the label" in line


def test_events_that_find_no_row_are_counted() -> None:
    late = [shop(number, START + timedelta(days=20)) for number in range(7)]
    [line] = named(of(history(), tables=(shops(*late),)), "shops", "warn")
    assert "20% of the events find a row" in line
    [line] = named(of(history(), tables=(shops(shop(77, START)),)), "shops", "fail")
    assert "0% of the events find a row" in line


def test_rows_of_a_table_that_cannot_be_used_are_counted() -> None:
    rows = [shop(number, START) for number in range(7)]
    [line] = named(of(history(), tables=(shops(*rows, shop(8, START, size=-5.0)),)),
                   "shops", "fail")
    assert "1 of 8 rows cannot be used, for example" in line and "size is -5" in line
    [line] = named(of(history(), tables=(shops(shop(8, START, size=-5.0)),)), "shops", "fail")[1:]
    assert "it has no row that can be used" in line


def test_a_source_that_cannot_be_read_is_one_line() -> None:
    class Gone(ToySource):
        def archive(self, fetched: Path) -> Iterator[ArchivedEvent]:
            from ml_assets.core.errors import FetchError

            raise FetchError("orders.csv is not utf-8")

    system = with_stream(TOY, source=Gone())
    assert [str(each) for each in about_history(system, Settings())] == [
        "fail  source     orders.csv is not utf-8"]


def test_an_unknown_feature_service_is_said_with_the_rest() -> None:
    found = list(examine(with_stream(TOY, source=ToySource(history=tuple(history())))))
    assert isinstance(found[0], Noted)
    assert str(found[0]).startswith("fail  features   there is no feature service 'toy_returns'")
    assert len(found) > 5
