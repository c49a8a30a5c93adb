"""A replay sends what was asked, and knows of what is shown whether it was taken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from ml_assets.core.slates import SlatePolicy, split
from ml_assets.core.source import ArchivedEvent
from ml_assets.ingest.archive import usable
from ml_assets.replay.live_days import LiveDays
from ml_assets.replay.slates import as_sent, asks_for_slate, row
from tests.toy import TOY
from tests.tracks import TRACKS, moments

AT = datetime(2024, 6, 9, tzinfo=UTC)
POLICY = SlatePolicy(item="track", user="listener", page=5)


def recorded() -> list[ArchivedEvent]:
    return list(usable(TRACKS, TRACKS.source.archive(Path())))


def test_each_recorded_slate_is_sent_as_its_request() -> None:
    """With all that was taken, and without the item, which no client knows yet."""
    history = recorded()
    sent = list(as_sent(TRACKS, history))
    slates = {split(event.event_id) for event in history}
    assert [each.event_id for each in sent] == list(dict.fromkeys(
        request for request, _ in filter(None, slates_in_order(history))))
    assert len(slates) == len(history) > 4 * len(sent)
    by_name = {f"o{each.number}": each for each in moments()}
    for request in sent:
        moment = by_name[request.event_id]
        assert request.request == {"listener": moment.listener, "hour": moment.at.hour}
        assert asks_for_slate(TRACKS, request)
        assert request.outcome == (
            [] if moment.played is None else [[moment.played, moment.played_at.isoformat()]])


def slates_in_order(history: list[ArchivedEvent]) -> list[tuple[str, int] | None]:
    return [split(event.event_id) for event in history]


def test_of_what_is_shown_it_knows_what_was_taken_and_when(tmp_path: Path) -> None:
    """Also after it was kept in a file; whatever the page has of what history had."""
    live = LiveDays(as_sent(TRACKS, recorded()), TRACKS.calendar.live_from, tmp_path)
    [request, *_] = [each for each in live.day(TRACKS.calendar.go_live) if each.outcome]
    moment = next(each for each in moments() if f"o{each.number}" == request.event_id)
    assert moment.played is not None
    taken = row(POLICY, request, 3, moment.played)
    assert (taken.event_id, taken.outcome, taken.known_at) == (
        f"o{moment.number}#3", True, moment.played_at)
    assert taken.request == {**request.request, "track": moment.played}
    other = row(POLICY, request, 1, moment.played + 1)
    assert (other.outcome, other.known_at) == (False, None)


def test_rows_of_two_slates_of_one_instant_may_be_mixed() -> None:
    """A source of rows orders them by time alone; an event that is of no slate stays what it is."""
    rows = [ArchivedEvent(event_id=name, event_timestamp=AT, outcome=taken,
                          request={"listener": "l", "hour": 1, "track": 7})
            for name, taken in (("a#1", False), ("b#1", None), ("a#2", True), ("alone", True))]
    later = ArchivedEvent(event_id="b#2", event_timestamp=AT + timedelta(seconds=1),
                          request=rows[0].request, outcome=None)
    sent = list(as_sent(TRACKS, [*rows, later]))
    assert [(each.event_id, each.outcome) for each in sent] == [
        ("a", [[7, None]]), ("b", None), ("alone", True), ("b", None)]
    assert [asks_for_slate(TRACKS, each) for each in sent] == [True, True, False, True]
    assert row(POLICY, sent[1], 1, 7).outcome is None


def test_events_of_systems_without_slates_stay_as_they_are() -> None:
    some = list(islice(TOY.source.archive(Path()), 3))
    assert list(as_sent(TOY, some)) == some
    assert not any(asks_for_slate(TOY, event) for event in some)
