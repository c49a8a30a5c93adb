"""The online state is what the log says, whoever served, loaded, pushed, crashed or rebuilt."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.core.errors import StateDamaged
from ml_assets.features.engine import state
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import digest_of
from ml_assets.features.online_store.following import stretches as room
from ml_assets.features.online_store.following.counts import Stream
from ml_assets.features.online_store.following.lake_stream import Origins
from ml_assets.features.online_store.following.portions import portions
from ml_assets.features.online_store.following.projection import Projection
from ml_assets.features.online_store.following.stretches import EVENTS, Followed
from ml_assets.features.online_store.lmdb.backend import LmdbBackend
from ml_assets.features.online_store.lmdb.keys import mark_of
from ml_assets.ingest.log.event_log import EventLog, Prediction
from ml_assets.ingest.log.positions import PackedCounts, last_position
from ml_assets.ingest.log.served import from_us, prediction_id, to_us
from ml_assets.ingest.log.told import ToldEvent
from tests.features.online_store.kit import windowed

NOON = datetime(2024, 1, 9, 12, tzinfo=UTC)
YEAR = 365 * 24 * 3600 * 10**6
VIEWS = tuple(
    replace(windowed(("count", "", YEAR, YEAR // 365), name=key, lateness=YEAR), keys=(key,),
            timestamp="event_timestamp")
    for key in ("customer", "shop")
)
ENTITIES = ("a", "b")
Event = dict[str, Any]
_numbers = count()


def event(number: int, customer: str, shop: str) -> Event:
    at = NOON + timedelta(seconds=number)
    return {"event_id": f"e{number}", "customer": customer, "shop": shop, "event_timestamp": at,
            "accepted_at": at}


def table_of(events: Sequence[Event]) -> pa.Table:
    return pa.Table.from_pylist(list(events), schema=pa.schema([
        ("event_id", pa.string()), ("customer", pa.string()), ("shop", pa.string()),
        ("event_timestamp", pa.timestamp("us", tz="UTC")),
        ("accepted_at", pa.timestamp("us", tz="UTC")),
    ]))


@dataclass(frozen=True)
class Archive(Origins):
    """The lake has, for each view, what was ever loaded into it."""

    rows: dict[str, list[Event]] = field(default_factory=dict)

    def parser(self, system: str, table: str) -> Callable[[str], Mapping[str, object]]:
        return json.loads

    def loaded(
        self, view: WindowedView, system: str, table: str, since: int, until: int
    ) -> pa.Table | None:
        found = [each for each in self.rows[view.name]
                 if from_us(since) <= each["event_timestamp"] < from_us(until)]
        return table_of(found) if found else None


class Process:
    """One that serves, loads and reads, with a connection of its own."""

    def __init__(self, folder: Path, origins: Origins, log: Path | None = None) -> None:
        self.log = EventLog(log or folder / "log.sqlite")
        self.store = LmdbBackend(folder / "online.lmdb")
        self.origins = origins

    def projection(self, views: Sequence[WindowedView] = VIEWS) -> Projection:
        there = self.store.views()
        return Projection(self.log.connection, self.store, [
            Followed(view, there[view.name].id, "toy", EVENTS) for view in views
        ], self.origins)

    def serve(self, events: Sequence[Event], *, knows: bool, dies: bool) -> None:
        stream = Stream(VIEWS)
        counted = [stream.counted(each) for each in events]
        packed = [stream.list.pack(each) for each in counted]
        appended = self.log.append_counted(
            [answer_to(each) for each in events],
            PackedCounts(stream.list.id, stream.list.text, packed) if knows else None)
        if not dies and appended.new:
            self.projection().follow(
                appended.first, appended.first + appended.new[-1],
                [[row for each in appended.new if (row := counted[each].row(index, packing))]
                 for index, packing in enumerate(stream.packed_as)])

    def close(self) -> None:
        self.log.close()
        self.store.close()


def answer_to(of: Event) -> Prediction:
    return Prediction(
        prediction_id=prediction_id("toy", of["event_id"]), system="toy", event_id=of["event_id"],
        event_timestamp=of["event_timestamp"], accepted_at=of["accepted_at"],
        request=json.dumps({"customer": of["customer"], "shop": of["shop"]}), features_as_of=NOON,
        features=np.zeros(1, np.float32), feature_names=("x",), model_version=1, score=0.5,
        decision=True)


@contextmanager
def processes(folder: Path) -> Iterator[tuple[list[Process], Archive]]:
    archive = Archive(folder, lambda name: pytest.fail(name), {view.name: [] for view in VIEWS})
    found = [Process(folder, archive) for _ in range(2)]
    for view in VIEWS:
        found[0].store.register(view.name, digest_of(view))
    yield found, archive
    for each in found:
        each.close()


def counts(process: Process) -> Counter[tuple[str, str]]:
    """By view and entity, in the store as it is."""
    found: Counter[tuple[str, str]] = Counter()
    later = to_us(NOON + timedelta(days=1))
    for view in VIEWS:
        number = process.store.views()[view.name].id
        blobs = process.store.get(number, [each.encode() for each in ENTITIES])
        for entity, [value] in zip(
            ENTITIES, state.read(view, blobs, np.full(2, view.as_of(later))),
            strict=True,
        ):
            found[view.name, entity] = int(np.nan_to_num(value))
    return found


events = st.lists(st.builds(event, st.integers(0, 12), st.sampled_from(["a", "b", ""]),
                            st.sampled_from(ENTITIES)), min_size=1, max_size=4,
                  unique_by=lambda each: str(each["event_id"]))


@settings(max_examples=100, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_each_event_counts_once_for_each_view_whatever_way_it_takes(
    tmp_path: Path, data: st.DataObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Served, loaded or pushed, again and again, by processes that die in between."""
    folder = tmp_path / str(next(_numbers))
    monkeypatch.setattr(room, "AT_ONCE", 2)
    # What each id counts is said by whichever way came first; here all ways say the same.
    of_id: dict[str, Event] = {}
    wanted: dict[str, set[str]] = {view.name: set() for view in VIEWS}
    with processes(folder) as (all_processes, archive):
        for _ in range(data.draw(st.integers(1, 12))):
            process = data.draw(st.sampled_from(all_processes))
            some = [of_id.setdefault(each["event_id"], each) for each in data.draw(events)]
            ids = {each["event_id"] for each in some}
            view = data.draw(st.sampled_from(VIEWS))
            way = data.draw(st.sampled_from(["serve", "load", "push", "read", "anew"]))
            if way == "serve":
                process.serve(some, knows=data.draw(st.booleans()), dies=data.draw(st.booleans()))
                for each in wanted.values():
                    each |= ids
            elif way == "load":
                archive.rows[view.name] += some
                load(process, view, some, dies=data.draw(st.booleans()))
                wanted[view.name] |= ids
            elif way == "push":
                process.projection([view]).push(table_of(some))
                # A view that is made anew knows it from the lake only.
                archive.rows[view.name] += some
                load(process, view, some, dies=False)
                wanted[view.name] |= ids
            elif way == "anew":
                process.store.drop(process.store.views()[view.name].id)
                process.store.register(view.name, digest_of(view))
        reader = data.draw(st.sampled_from(all_processes))
        following = reader.projection()
        following.catch_up()
        head = last_position(reader.log.connection)
        marks = [mark for [mark] in reader.store.get_many(following.marks)]
        assert following.position(marks) == head
        assert following.behind() == 0
        assert counts(reader) == Counter({
            (view.name, entity): sum(of_id[each][view.keys[0]] == entity
                                     for each in wanted[view.name])
            for view in VIEWS for entity in ENTITIES
        })


def load(process: Process, view: WindowedView, some: Sequence[Event], *, dies: bool) -> None:
    following = process.projection([view])
    [followed] = following.views
    for portion in portions(view, table_of(some)):
        if dies:
            with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
                patch.setattr(following, "catch_up", dying)
                following.load(followed, portion)
        else:
            following.load(followed, portion)


def dying() -> int:
    raise KeyboardInterrupt


def test_a_load_says_how_many_of_its_events_were_new(tmp_path: Path) -> None:
    with processes(tmp_path) as ([process, _], archive):
        some = [event(n, "a", "b") for n in range(4)]
        process.serve(some[:1], knows=True, dies=False)
        archive.rows["customer"] += some
        following = process.projection(VIEWS[:1])
        [followed] = following.views
        new = [following.load(followed, each) for _ in range(2)
               for each in portions(VIEWS[0], table_of(some))]
        assert new == [3, 0]
        kept = process.log.connection.execute("select count(counts) from loads").fetchall()
        assert kept == [(0,)], "their rows are in the lake"


def test_a_store_made_anew_counts_what_was_loaded_though_its_id_was_served_since(
    tmp_path: Path
) -> None:
    """For another entity, too. On a host that has seen nothing, or after a loss."""
    with processes(tmp_path) as ([process, _], archive):
        first, again = event(1, "a", "a"), event(1, "b", "b")
        for view in VIEWS:
            archive.rows[view.name].append(first)
            load(process, view, [first], dies=False)
        process.serve([again, event(2, "b", "b")], knows=True, dies=False)
        process.projection().catch_up()
        other = Process(tmp_path / "host", archive, log=tmp_path / "log.sqlite")
        for view in VIEWS:
            other.store.register(view.name, digest_of(view))
        other.projection().catch_up()
        assert counts(other) == counts(process) == Counter({
            (view.name, entity): number for view in VIEWS
            for entity, number in (("a", 1), ("b", 2))}), "an id counts once for each entity"
        other.close()


def test_what_does_not_parse_any_more_is_told_and_holds_nothing_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with processes(tmp_path) as ([process, _], _archive):
        bad = replace_request(answer_to(event(0, "a", "a")), "no JSON")
        process.log.append([bad, answer_to(event(1, "a", "a"))])
        process.projection().catch_up()
        assert counts(process)["customer", "a"] == 1
    assert "event 'e0' was served and cannot be counted" in caplog.text


def replace_request(of: Prediction, request: str) -> Prediction:
    from msgspec.structs import replace as with_field

    return with_field(of, request=request)


def test_a_state_that_is_ahead_of_the_log_is_not_believed(tmp_path: Path) -> None:
    """The log was restored from an older backup."""
    with processes(tmp_path) as ([process, other], _):
        process.serve([event(n, "a", "a") for n in range(3)], knows=True, dies=False)
        process.log.connection.execute("delete from predictions where seq > 1")
        with pytest.raises(StateDamaged, match="up to position 3 of the event log, which ends"):
            other.projection().catch_up()


def test_catching_up_is_broken_off_when_its_time_is_over_and_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "AT_ONCE", 2)
    with processes(tmp_path) as ([process, _], _archive):
        process.serve([event(n, "a", "a") for n in range(7)], knows=True, dies=True)
        following, reached = process.projection(), list[int]()
        with pytest.raises(TimeoutError, match="position 0 of 7"):
            following.catch_up(ends=0)
        following.catch_up(step=reached.append)
        assert reached == [2, 4, 6, 7]
        assert counts(process)["shop", "a"] == 7


@pytest.mark.parametrize("knows", [True, False])
def test_events_of_another_stream_count_as_soon_as_they_are_told(
    tmp_path: Path, knows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the log, each once, and only for the views of their stream; nothing is
    parsed again of what was packed.
    """
    def parser(origins: Archive, system: str, table: str) -> Callable[[str], Mapping[str, object]]:
        assert not knows or table == "views"
        return json.loads

    monkeypatch.setattr(Archive, "parser", parser)
    clicks = replace(VIEWS[1], name="clicks")
    with processes(tmp_path) as ([process, _], _archive):
        number = process.store.register(clicks.name, digest_of(clicks))
        following = Projection(process.log.connection, process.store, [
            Followed(VIEWS[1], process.store.views()["shop"].id, "toy", EVENTS),
            Followed(clicks, number, "toy", "clicks"),
        ], process.origins)
        process.serve([event(0, "a", "a")], knows=True, dies=True)
        told = [ToldEvent(
            system="toy", stream=stream, event_id=event_id, event_timestamp=NOON,
            accepted_at=NOON, request=json.dumps({"shop": "a"}),
        ) for stream, event_id in (("clicks", "1"), ("clicks", "2"), ("views", "3"))]
        stream = Stream([clicks])
        packed = {each.event_id: stream.list.pack(stream.counted({
            "event_id": each.event_id, "shop": "a", "event_timestamp": NOON})) for each in told}

        def counts_of(some: Sequence[ToldEvent]) -> PackedCounts | None:
            return PackedCounts(stream.list.id, stream.list.text,
                                [packed[each.event_id] for each in some]) if knows else None

        process.log.told.append(told[:2], counts_of(told[:2]))
        following.catch_up()
        process.log.told.append(told[1:], counts_of(told[1:]))
        following.catch_up()
        [mark], = process.store.get_many(following.marks[1:])
        assert mark_of(mark) == last_position(process.log.connection)
        assert counts(process)["shop", "a"] == 1
        [blob] = process.store.get(number, [b"a"])
        later = clicks.as_of(to_us(NOON + timedelta(days=1)))
        assert state.read(clicks, [blob], np.array([later]))[0, 0] == 2
        loaded = [following.load(following.views[1], each)
                  for each in portions(clicks, table_of([event(n, "a", "a") for n in (1, 2)]))]
        assert loaded == [2], "e1 and e2 of the archive are none of the events told"
