"""Recorded requests become the rows of slates, and know nothing of what came later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from ml_assets.core.data.columns import Column
from ml_assets.core.errors import DeclarationError, Quarantined
from ml_assets.core.slates import split
from ml_assets.core.source import ArchivedEvent, Event, Request
from ml_assets.ingest.sources import EventRows, ParquetFiles, Slates

START = datetime(2024, 1, 2, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Requests:
    """Recorded requests as they are given."""

    records: Sequence[ArchivedEvent] = ()

    def fetch(self, cache: Path) -> Path:
        return cache

    def archive(self, fetched: Path) -> Iterator[ArchivedEvent]:
        return iter(self.records)

    def parse(self, request: Request) -> Event:
        return {"viewer": request.get("viewer"), "hour": request.get("hour")}


def asked(
    number: int, took: object, saw: object = None, *, minutes: int | None = None, **of: Any
) -> ArchivedEvent:
    at = START + timedelta(minutes=number if minutes is None else minutes)
    request = {"viewer": f"v{number % 3}", "hour": 7, "took": took}
    record = ArchivedEvent(
        event_id=f"r{number}", event_timestamp=at, outcome=None,
        request=request if saw is None else {**request, "saw": saw},
        known_at=at + timedelta(seconds=30))
    return replace(record, **of)


def history(
    *records: ArchivedEvent, shown: str | None = None, others: int = 3, recent: int = 10_000,
    drawn: Literal["popular", "evenly"] = "popular", own: int = 0,
) -> list[ArchivedEvent]:
    source = Slates(requests=Requests(records=records), item="film", taken="took", shown=shown,
                    others=0 if shown else others, drawn=drawn, recent=recent, own=own,
                    user="viewer" if own else None)
    return list(source.archive(Path()))


def slates(rows: Sequence[ArchivedEvent]) -> dict[str, list[object]]:
    """What each request was shown, in order; each row is at its position."""
    found: dict[str, list[object]] = {}
    for row in rows:
        request, position = split(row.event_id) or ("", 0)
        found.setdefault(request, []).append(row.request["film"])
        assert position == len(found[request])
    return found


def test_what_was_shown_becomes_a_row_each_in_its_order() -> None:
    rows = history(asked(1, ["b"], ["a", "b", "c"]), asked(2, None, ["d"]), shown="saw")
    assert [(row.event_id, row.request, row.outcome) for row in rows] == [
        ("r1#1", {"viewer": "v1", "hour": 7, "film": "a"}, False),
        ("r1#2", {"viewer": "v1", "hour": 7, "film": "b"}, True),
        ("r1#3", {"viewer": "v1", "hour": 7, "film": "c"}, False),
        ("r2#1", {"viewer": "v2", "hour": 7, "film": "d"}, False),
    ]
    at = START + timedelta(minutes=1)
    assert {row.event_timestamp for row in rows[:3]} == {at}
    # When something was not taken, nobody has recorded: the truth says so.
    assert [row.known_at for row in rows[:3]] == [None, at + timedelta(seconds=30), None]


HISTORIES = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True),
                     min_size=1, max_size=30)


@given(HISTORIES, st.integers(1, 4), st.integers(1, 12), st.sampled_from(["popular", "evenly"]))
@budget(max_examples=60, deadline=None)
def test_others_are_drawn_from_what_was_taken_before_and_none_twice(
    takes: list[list[int]], others: int, recent: int, drawn: Literal["popular", "evenly"]
) -> None:
    rows = history(*(asked(number, took) for number, took in enumerate(takes)), others=others,
                   recent=recent, drawn=drawn)
    found = slates(rows)
    for number, took in enumerate(takes):
        slate = found[f"r{number}"]
        before = [item for earlier in takes[:number] for item in earlier]
        assert len(set(slate)) == len(slate) <= len(took) + others
        assert set(took) <= set(slate) <= {*took, *before}
        there = {*(before[-recent:] if drawn == "popular" else before)} - {*took}
        assert len(slate) == len(took) + min(others, len(there))
    assert {(row.event_id, row.request["film"]) for row in rows if row.outcome} == {
        (row.event_id, row.request["film"]) for row in rows
        if row.request["film"] in takes[int((split(row.event_id) or ("", 0))[0][1:])]}


@given(HISTORIES, HISTORIES, st.sampled_from(["popular", "evenly"]))
@budget(max_examples=40, deadline=None)
def test_what_comes_later_changes_no_earlier_row(
    takes: list[list[int]], later: list[list[int]], drawn: Literal["popular", "evenly"]
) -> None:
    """Else a model would be judged on items that became popular after it was asked."""
    first = [asked(number, took) for number, took in enumerate(takes)]
    more = [asked(number, took) for number, took in enumerate(later, len(takes))]
    rows = history(*first, drawn=drawn)
    assert history(*first, *more, drawn=drawn)[:len(rows)] == rows


def test_what_was_taken_counts_from_when_it_was_known() -> None:
    """A request in the half minute between somebody's request and his choice knows nothing of it.
    """
    quick = asked(2, "b", minutes=1, event_timestamp=START + timedelta(minutes=1, seconds=10))
    rows = history(asked(1, "a"), quick, asked(3, "c"))
    assert slates(rows)["r2"] == ["b"]
    assert set(slates(rows)["r3"]) == {"a", "b", "c"}


def test_what_is_taken_often_is_drawn_often() -> None:
    """And no longer once `recent` other takes have followed."""
    often = [asked(number, "a" if number % 4 else "b") for number in range(1000)]
    after = [asked(number, "c") for number in range(1000, 1400)]
    drawn = Counter(item for name, slate in slates(history(*often, *after, others=1)).items()
                    for item in slate if int(name[1:]) >= 1000 and item != "c")
    assert 0.68 < drawn["a"] / drawn.total() < 0.82
    forgotten = slates(history(*often, *after, others=1, recent=50))
    assert all(slate == ["c"] for name, slate in forgotten.items() if int(name[1:]) > 1051)


def test_each_item_is_drawn_equally_often_if_they_are_drawn_evenly() -> None:
    """However often it was taken, and however long ago."""
    takes = [asked(number, ["hit"] if number % 10 else [f"rare{number // 10}"])
             for number in range(200)]
    later = [asked(200 + number, [], minutes=300) for number in range(2_000)]
    rows = slates(history(*takes, *later, others=3, recent=20, drawn="evenly"))
    drawn = Counter(item for number in range(200, 2_200) for item in rows[f"r{number}"])
    assert len(drawn) == 21, "the hit, and twenty that were taken once"
    expected = 2_000 * 3 / 21
    assert all(abs(times - expected) < 5 * expected**0.5 for times in drawn.values())


def test_the_position_does_not_tell_what_was_taken() -> None:
    """It is no use to learn that choices come first."""
    rows = history(*(asked(number, f"f{number % 7}") for number in range(2000)), others=3)
    places = [split(row.event_id) or ("", 0) for row in rows if row.outcome]
    counts = Counter(position for _, position in places[100:])
    assert len(counts) == 4
    assert all(0.2 < count / counts.total() < 0.3 for count in counts.values())


@pytest.mark.parametrize(("record", "says"), [
    (asked(1, "a", ["b"]), "request 'r1': took has 'a', which saw lacks"),
    (asked(1, "a", ["a", "b", "a"]), "request 'r1': saw has 'a' twice"),
    (asked(1, ["a", ["b"]], ["a"]), r"request 'r1': took, item 2, is \['b'\]; expected a text or"),
    (asked(1, True, ["a"]), "took, item 1, is True"),
    (asked(1, None, []), "request 'r1' has 0 items; expected 1 to 1,000"),
    (asked(1, None, [f"f{n}" for n in range(1001)]), "has 1,001 items"),
    (asked(1, "a", ["a"], event_id="r#1"), "event_id: 'r#1' has '#'"),
    (asked(1, "a", ["a"], event_id=None), "event_id is None"),
    (asked(1, "a", ["a"], event_id=""), "event_id: it is empty"),
    (asked(1, "a", ["a"], request=[1]), r"request is \[1\]; expected a JSON object"),
    (asked(1, "a", ["a"], event_timestamp=None), "event_timestamp: it is None"),
    (asked(1, "a", ["a"], known_at=datetime(1, 1, 1, tzinfo=UTC)), "known_at: it is 0001"),
    (asked(1, "a", ["a"], problem="a wrong quote"), "^a wrong quote$"),
])
def test_a_request_that_cannot_be_used_is_one_record_with_the_reason(
    record: ArchivedEvent, says: str
) -> None:
    """Those before and after it become rows."""
    rows = history(asked(0, "x", ["x"]), record, asked(2, "y", ["y"]), shown="saw")
    assert [row.event_id for row in rows] == ["r0#1", record.event_id, "r2#1"]
    with pytest.raises(Quarantined, match=says):
        raise Quarantined(rows[1].problem or "")


def test_a_request_that_was_there_before_adds_no_rows_to_its_slate() -> None:
    rows = history(asked(1, "a", ["a"]), asked(1, "b", ["a", "b"]), shown="saw")
    assert [row.event_id for row in rows] == ["r1#1", "r1"]
    assert rows[1].problem is not None and "'r1' was there before" in rows[1].problem


def test_a_row_is_parsed_as_the_requests_source_does_and_has_its_item() -> None:
    source = Slates(requests=Requests(), item="film", taken="took", shown="saw")
    assert source.parse({"viewer": "v", "hour": 7, "film": "a"}) == {
        "viewer": "v", "hour": 7, "film": "a"}
    with pytest.raises(Quarantined, match="the row has 'took', which only recorded"):
        source.require_known({"viewer": "v", "took": "a", "film": "a"})


def test_rows_of_takes_need_no_code(tmp_path: Path) -> None:
    """A file of who took what and when is a history of requests."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({
        "viewer": ["v", "w"], "film": [3, 4], "at": [START, START + timedelta(hours=1)]}),
        tmp_path / "takes.parquet")
    source = Slates(
        requests=EventRows(
            rows=ParquetFiles(file=str(tmp_path / "takes.parquet")), timestamp="at",
            columns=(Column(name="viewer", dtype="text", description="who"),
                     Column(name="film", dtype="integer", description="what was taken"))),
        item="film", taken="film", others=5)
    rows = list(source.archive(source.fetch(tmp_path)))
    assert sorted((row.request["film"], row.outcome) for row in rows) == [
        (3, False), (3, True), (4, True)]
    assert source.parse({"viewer": "v", "film": 9}) == {"viewer": "v", "film": 9}
    assert source.request_schema["required"] == ["viewer", "film"]


@pytest.mark.parametrize("wrong", [
    {"others": 0}, {"shown": "saw"}, {"shown": "took", "others": 0}, {"recent": 0},
    {"others": 1000},
])
def test_a_wrong_declaration_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match=r"Slates\.\w+ is .*; expected"):
        Slates(**{"requests": Requests(), "item": "film", "taken": "took", "others": 3, **wrong})


@given(HISTORIES, st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
@budget(max_examples=60, deadline=None)
def test_others_may_be_what_the_same_user_took_himself(
    takes: list[list[int]], others: int, recent: int, own: int
) -> None:
    """His own latest different items, however long ago, and what anybody took of late."""
    records = [asked(number, took) for number, took in enumerate(takes)]
    rows = history(*records, others=others, recent=recent, drawn="evenly", own=own)
    found = slates(rows)
    for number, took in enumerate(takes):
        before = [item for earlier in takes[:number] for item in earlier]
        theirs = [item for each in range(number % 3, number, 3) for item in takes[each]]
        latest = list(dict.fromkeys(reversed(theirs)))[:own]
        slate, there = found[f"r{number}"], {*before[-recent:], *latest} - {*took}
        assert set(took) <= set(slate) <= {*took, *there}
        assert len(set(slate)) == len(slate) == len(took) + min(others, len(there))
    assert history(*records[: len(takes) // 2 + 1], others=others, recent=recent, drawn="evenly",
                   own=own) == rows[: sum(map(len, list(found.values())[: len(takes) // 2 + 1]))]


def test_an_own_item_is_drawn_as_often_as_a_popular_one() -> None:
    """Else a model would take it for less wanted the oftener it was taken."""
    takes = [["mine"], *([f"p{n}"] for n in (1, 1, 1, 1, 2, 2, 3))]
    first = [asked(3 * number, took, minutes=number,
                   request={"viewer": "me" if number == 0 else f"o{number}", "hour": 7,
                            "took": took}) for number, took in enumerate(takes)]
    later = [asked(1000 + number, ["else"], minutes=20,
                   request={"viewer": "me", "hour": 7, "took": ["else"]}) for number in range(600)]
    rows = history(*first, *later, others=1, recent=7, drawn="evenly", own=5)
    drawn = Counter(item for name, items in slates(rows).items() if int(name[1:]) >= 1000
                    for item in items if item != "else")
    assert set(drawn) == {"mine", "p1", "p2", "p3"}
    assert max(drawn.values()) < 1.4 * min(drawn.values()), drawn


def test_requests_of_before_tell_what_was_taken_and_have_no_slates() -> None:
    days = [asked(number, [f"f{number}"], minutes=60 * 24 * number) for number in range(6)]
    whole = Slates(requests=Requests(records=days), item="film", taken="took", others=2)
    late = replace(whole, since=(START + timedelta(days=3)).date())
    rows = list(whole.archive(Path()))
    assert list(late.archive(Path())) == [row for row in rows if row.event_id >= "r3"] != []


@pytest.mark.parametrize("wrong", [{"own": -1}, {"own": 3}, {"own": 3, "drawn": "evenly"},
                                   {"own": 3, "user": "viewer"}])
def test_own_items_need_a_user_and_even_draws(wrong: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match=r"Slates.own is"):
        Slates(requests=Requests(), item="film", taken="took", others=2, **wrong)
