"""One door, one law: whatever the API accepts, every later room can process.

Hostile events, ids, keys, instants, texts and numbers are posted to two tiny systems on the real
stores, on both ways in, while somebody sets the clock. Then the day is closed by the real jobs,
which also train a model on it and score it. Ten seconds for each system on two idle cores: three
days of some dozens of events.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import httpx
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ml_assets.core.system import System
from ml_assets.core.time import DAY, EARLIEST, midnight
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.tables import QUARANTINE, events_schema, outcomes_schema, stream_schema
from ml_assets.monitoring.parity import ParityReports
from tests.meter import METER
from tests.serving.kit import serving
from tests.strategies import almost_json
from tests.toy import VISITS
from tests.whole_loop import BAD, WHOLE, WholeLoop, whole_loop

OUTCOMES = outcomes_schema(METER)

DAYS = 3
EVENTS = 60

PIECES = st.sampled_from([
    "a", "A", "é", "e\u0301", " ", "\0", "\n", "\x1f", "\x7f", "\x85", "\u2028", "\ufeff", "'",
    '"', "\\", "/", "%00", "\u202e", "\U0001f600", "日", "\uffff", ";--",
])
LONG = st.sampled_from([1, 45, 199, 200, 201, 999, 1000, 1001, 50_000]).map(lambda n: "x" * n)
TEXTS = st.lists(PIECES, max_size=4).map("".join) | LONG | st.text(max_size=8)
KEYS = st.sampled_from(["shop 1", "shop 2", "shop 1 ", "SHOP 1", "e\u0301", "é", ""])
NUMBERS = st.one_of(
    st.floats(0, 100), st.floats(allow_nan=False), st.integers(-2, 10**30), st.integers(0, 2**70),
    st.sampled_from([0.0, -0.0, 5e-324, 1e-45, 2.0**53 + 1, 2.0**36, 2.0**64, 3.4e38, 3.5e38,
                     1e308, 10**400]),
)
"""As JSON has them; `almost_json` adds NaN, Infinity and what is no number."""
USUAL: dict[str, st.SearchStrategy[Any]] = {
    "number": st.floats(0, 100), "integer": st.integers(0, 4),
    "category": st.sampled_from(["fine", "odd"]),
}
WRONG: st.SearchStrategy[Any] = st.none() | st.booleans() | st.just([]) | st.just("3") | st.just({})


@dataclass(frozen=True, kw_only=True)
class Posted:
    """One request: to which call, what body, and by how much the clock is set before it.

    In the body `@-5@` stands for the instant 5 microseconds before that, `%s` for a prediction.
    """

    call: str
    body: bytes
    moved: timedelta


@st.composite
def instants(draw: st.DrawFn) -> str:
    shift = draw(st.one_of(
        st.timedeltas(-timedelta(seconds=50), timedelta(seconds=70)),
        st.timedeltas(-40 * DAY, timedelta(0)),
        st.sampled_from([timedelta(0), timedelta(microseconds=-1), timedelta(hours=1)]),
    ))
    far = st.sampled_from([
        "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "1677-09-21T00:12:43Z",
        "1899-12-31T23:59:59Z", EARLIEST.isoformat(), "1969-12-31T23:59:59.999999Z",
        "1970-01-01T00:00:00Z", "2262-04-12T00:00:00Z", "9999-12-31T23:59:59.999999-14:00",
        "2024-01-09T12:00:00", "2024-02-30T12:00:00Z", "yesterday",
    ])
    return draw(st.just(f"@{shift // timedelta(microseconds=1)}@") | far)


def mostly(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 3).flatmap(lambda number: odd if number == 3 else usual)


def clocks() -> st.SearchStrategy[timedelta]:
    """Nearly always it just runs."""
    runs = st.timedeltas(timedelta(milliseconds=1), timedelta(seconds=90))
    return st.one_of(runs, runs, runs, runs, runs, runs, runs, st.timedeltas(
        timedelta(hours=-1), timedelta(minutes=10)))


@st.composite
def predictions(draw: st.DrawFn, system: System) -> Posted:
    event: dict[str, Any] = {}
    for column in system.columns:
        usual: st.SearchStrategy[Any] = USUAL.get(
            column.dtype, KEYS if column.name in system.keys else st.just("hello"))
        odd: st.SearchStrategy[Any] = NUMBERS if column.dtype in ("number", "integer") else TEXTS
        if column.many:
            usual, odd = st.lists(usual, max_size=3), st.lists(odd | WRONG, max_size=3) | WRONG
        if not column.optional or draw(st.booleans()):
            event[column.name] = draw(mostly(usual, odd))
    if draw(st.integers(0, 9)) == 9:
        event[draw(st.sampled_from(sorted(event)))] = draw(WRONG)
    body: dict[str, Any] = {"event": event}
    if draw(st.booleans()):
        # The archive's own ids too, and the same ones again.
        body["event_id"] = draw(st.sampled_from(["h0-0", "h6-39", "m0", "one", "One", "one "])
                                | st.uuids().map(str) | TEXTS)
    if draw(st.booleans()):
        body["event_timestamp"] = draw(mostly(st.just("@0@"), instants()))
    text = json.dumps(body, ensure_ascii=draw(st.booleans()))
    if draw(st.integers(0, 9)) == 9:
        [number, *_] = [column.name for column in system.columns if column.dtype == "number"]
        body["event"] = {**honest(system), number: "%s"}
        text = json.dumps(body).replace('"%s"', draw(almost_json()))
    content = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 19)) == 19:
        content = content.replace(b"a", draw(st.binary(max_size=3)), 1)
    return Posted(call="predict", body=content, moved=draw(clocks()))


def honest(system: System) -> dict[str, object]:
    """An event that nobody can have anything against."""
    values = {"number": 5.0, "integer": 3, "category": "odd"}
    return {column.name: [] if column.many else values.get(column.dtype, "shop 1")
            for column in system.columns}


@st.composite
def words(draw: st.DrawFn) -> Posted:
    """Feedback; on which prediction is filled in when there are some."""
    said: dict[str, Any] = {
        "prediction_id": draw(st.just("%s") | TEXTS),
        "label": draw(st.booleans() | WRONG | st.just(37.5)),
        "source": draw(st.sampled_from(["buyer", "tech:ann", "Buyer", "buyer "]) | TEXTS),
    }
    return Posted(call="feedback", body=json.dumps(said).encode(), moved=draw(clocks()))


@st.composite
def visits(draw: st.DrawFn) -> Posted:
    """An event that only feeds features, of the toy's other stream."""
    event = {
        "shop": draw(mostly(KEYS, TEXTS)),
        "page": draw(mostly(st.sampled_from(["shoes", "hats", None]), TEXTS)),
        "seconds": draw(mostly(st.floats(0, 90), NUMBERS | WRONG)),
        "seen": draw(mostly(st.lists(st.integers(0, 9), max_size=3), st.lists(NUMBERS | WRONG))),
    }
    body: dict[str, Any] = {"event": event}
    if draw(st.booleans()):
        body["event_id"] = draw(st.sampled_from(["h0-0", "one", "v1"]) | st.uuids().map(str))
    if draw(st.booleans()):
        body["event_timestamp"] = draw(mostly(st.just("@0@"), instants()))
    return Posted(call="events/visits", moved=draw(clocks()),
                  body=json.dumps(body).encode("utf-8", "surrogatepass"))


def requests_of(system: System) -> st.SearchStrategy[list[Posted]]:
    predict = predictions(system)
    some = predict | predict | words()
    if system is WHOLE:
        some |= visits()
    return st.lists(some, min_size=EVENTS, max_size=EVENTS)


def posted(call: str, **body: object) -> Posted:
    return Posted(call=call, body=json.dumps(body).encode(), moved=timedelta(seconds=1))


def honest_requests(system: System) -> list[Posted]:
    """Else a day might have labels of one kind only, on which nothing can be judged."""
    [trusted, *_] = system.feedback.trusted
    source = trusted.sources[0] + ("ann" if trusted.sources[0].endswith(":") else "")
    told = [posted("events/visits", event={"shop": "shop 1", "seconds": 5.0, "page": "shoes"})
            for _ in range(3) if system is WHOLE]
    return told + [request for label in (True, False) for request in (
        posted("predict", event=honest(system)),
        posted("feedback", prediction_id="%s", label=label, source=source),
    )]


@pytest.fixture(scope="module", params=[WHOLE, METER], ids=lambda system: system.name)
def loop(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WholeLoop]:
    with whole_loop(tmp_path_factory.mktemp("law"), request.param) as begun:
        yield begun


@pytest.mark.slow
def test_of_each_recorded_day_one_record_is_set_aside(loop: WholeLoop) -> None:
    """History was taken in and a model trained on it: nothing was stopped by a bad record."""
    lake, system = Lake(loop.settings.lake), loop.system
    live, bad = system.calendar.go_live, len(BAD) if system is WHOLE else 0
    assert len(lake.read(system.name, "quarantine", QUARANTINE, end=live)) == bad
    assert len(lake.read(system.name, "events", events_schema(system), end=live)) == 7 * 40


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@settings(max_examples=DAYS, deadline=None, phases=[Phase.generate], derandomize=True,
          suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_the_api_accepts_every_later_room_can_process(
    loop: WholeLoop, data: st.DataObject
) -> None:
    system, now = loop.system, loop.clock.now()
    requests = [*honest_requests(system), *data.draw(requests_of(system))]
    day = now.date()
    with serving(loop, direct=True) as direct, serving(loop, direct=False) as asgi:
        loop.clock.set(now + timedelta(hours=6))
        accepted = post_all(loop, requests, direct, asgi)
        assert direct.get("/readyz").json()["problems"] == []
    assert loop.close(day) == now + DAY
    if system is WHOLE:
        told = rows_of_day(loop, "visits", stream_schema(VISITS), day)
        with closing(EventLog(loop.settings.event_log)) as log:
            posted_visits = log.told.between(system.name, "visits", midnight(day),
                                             midnight(day) + DAY)
            assert sorted(told["event_id"]) == sorted(each.event_id for each in posted_visits)
        assert len(told) > 0

    log = EventLog(loop.settings.event_log)
    logged = list(log.predictions(system.name, midnight(day), midnight(day) + DAY))
    known = {p.prediction_id for p in log.predictions(system.name, EARLIEST, midnight(day) + DAY)}
    log.close()
    assert accepted <= known and len(logged) > EVENTS / 10

    def rows(table: str, schema: pa.Schema) -> pd.DataFrame:
        return rows_of_day(loop, table, schema, day)

    events = rows("events", events_schema(system))
    assert sorted(events["event_id"]) == sorted(p.event_id for p in logged)
    for stream in system.streams:
        assert rows(stream.quarantine, QUARANTINE).empty
    assert not rows("outcomes", OUTCOMES).empty
    parity = ParityReports(loop.settings, system).read(day)
    assert parity is not None and parity.holds, parity
    assert (parity.checked, parity.degraded) == (len(logged), 0)

    loop.runs.retraining({"ml_assets/reason": "labels"})
    loop.runs.batch(day)


def rows_of_day(loop: WholeLoop, table: str, schema: pa.Schema, day: date) -> pd.DataFrame:
    return Lake(loop.settings.lake).read(
        loop.system.name, table, schema, start=day, end=day + DAY)


def dated(body: bytes, now: datetime) -> bytes:
    return re.sub(rb"@(-?\d+)@", lambda shift: (
        now + timedelta(microseconds=int(shift[1]))).isoformat().encode(), body)


def post_all(
    loop: WholeLoop, requests: list[Posted], direct: httpx.Client, asgi: httpx.Client
) -> set[str]:
    """Post each on one way and again on the other; the ids of the predictions that were made."""
    made: list[str] = []
    for place, request in enumerate(requests):
        loop.clock.set(loop.clock.now() + request.moved)
        body = dated(request.body, loop.clock.now())
        if request.call == "feedback" and made:
            body = body.replace(b"%s", made[-1 - place // 3 % len(made)].encode())
        ways = (direct, asgi) if place % 2 else (asgi, direct)
        first, second = (
            way.post(f"/v1/{loop.system.name}/{request.call}", content=body) for way in ways)
        for answer in (first, second):
            assert answer.status_code < 500, (body, answer.text)
            assert answer.status_code == 200 or answer.json()["error"]["message"], body
        assert first.status_code == second.status_code, body
        if request.call == "predict":
            if first.status_code == 200:
                made += [answer.json()["prediction_id"] for answer in (first, second)]
            if first.status_code != 200 or b'"event_id"' in body:
                assert first.content == second.content, body
    return set(made)
