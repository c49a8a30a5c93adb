"""Events that only feed features are taken in once and for good."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from ml_assets.core.settings import Settings
from ml_assets.ingest.daily import store_events, store_raw
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.told import ToldEvent
from ml_assets.ingest.tables import stream_schema
from ml_assets.serving.access.tokens import Tokens
from tests.serving.kit import LATER, NOON, Toy, asked, problem, serving
from tests.toy import TOY, VISITS

PATH = "/v1/toy/events/visits"


@pytest.fixture
def toy(settings: Settings) -> Toy:
    toy = Toy(settings=settings)
    toy.deploy(1)
    return toy


@pytest.fixture(params=["fast path", "plain ASGI"])
def client(toy: Toy, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with serving(toy, direct=request.param == "fast path") as client:
        yield client


def visit(event_id: str | None = None, **of: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"event": {"shop": "corner", "page": "shoes", **of}}
    return body if event_id is None else {**body, "event_id": event_id}


def logged(toy: Toy) -> list[ToldEvent]:
    with closing(EventLog(toy.settings.event_log)) as log:
        return list(log.told.between("toy", "visits", NOON - timedelta(days=9), LATER))


def test_an_event_is_in_the_log_before_it_is_acknowledged(client: httpx.Client, toy: Toy) -> None:
    answer = client.post(PATH, json=visit("v1"))
    assert answer.status_code == 200, answer.text
    [told] = logged(toy)
    assert answer.json() == {
        "event_id": "v1", "stream": "visits",
        "event_timestamp": told.event_timestamp.isoformat().replace("+00:00", "Z"),
        "accepted_at": told.accepted_at.isoformat().replace("+00:00", "Z"),
    }
    assert told.system == "toy" and json.loads(told.request)["page"] == "shoes"


def test_a_retry_gets_the_same_answer_and_counts_nothing(client: httpx.Client, toy: Toy) -> None:
    first = client.post(PATH, json=visit("v1"))
    toy.clock.set(NOON + timedelta(minutes=5))
    again = client.post(PATH, json=visit("v1"))
    assert (again.status_code, again.json()) == (200, first.json())
    assert len(logged(toy)) == 1
    changed = problem(client.post(PATH, json=visit("v1", page="hats")), 409, "event_changed")
    assert "was taken in before with another body" in changed["message"]


def test_an_id_names_one_event_of_one_stream(client: httpx.Client, toy: Toy) -> None:
    """A prediction may have the id of a visit."""
    assert client.post(PATH, json=visit("same")).status_code == 200
    assert client.post("/v1/toy/predict", json=asked("same")).status_code == 200
    with closing(EventLog(toy.settings.event_log)) as log:
        [prediction] = log.predictions("toy", NOON - timedelta(days=1), LATER)
    [told] = logged(toy)
    assert prediction.event_id == told.event_id == "same"
    assert prediction.seq is None or told.seq != prediction.seq


def test_a_batch_takes_in_what_it_can(client: httpx.Client, toy: Toy) -> None:
    bad = [{"event": {}}, visit("v3", seconds=-1), {"event": 3}, {"events": 3}, visit("v4", seen=3)]
    answer = client.post(f"{PATH}/batch", json={"events": [
        visit("v1"), *bad, visit("v1"), visit("v2", seen=[2**53 + 1])]})
    assert answer.status_code == 200
    first, *refused, repeated, last = answer.json()["events"]
    assert first == repeated and last["event_id"] == "v2"
    assert [sorted(each) for each in refused] == [["error"]] * len(bad)
    assert "seconds is -1" in refused[1]["error"]["message"]
    assert [each.event_id for each in logged(toy)] == ["v1", "v2"]


def test_a_stream_that_there_is_not_is_named(client: httpx.Client) -> None:
    assert "Closest: visits" in problem(
        client.post("/v1/toy/events/visit", json=visit()), 404, "not_found")["message"]
    problem(client.post("/v1/toy/events/purchases", json=visit()), 404, "not_found")
    problem(client.post("/v1/toy/events/visit/batch", json={"events": []}), 404, "not_found")


def test_events_need_no_model(settings: Settings) -> None:
    with serving(Toy(settings=settings)) as client:
        assert client.post(PATH, json=visit("v1")).status_code == 200
        problem(client.post("/v1/toy/predict", json=asked()), 503, "not_ready")


def test_events_at_the_same_moment_are_each_logged_once(toy: Toy) -> None:
    with serving(toy) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(
            lambda n: client.post(PATH, json=visit(f"v{n % 20}")).json(), range(80)))
        counts = client.get("/v1/toy/version").json()["counts"]
        metrics = client.get("/metrics").text
    told = logged(toy)
    assert sorted(each.event_id for each in told) == sorted(f"v{n}" for n in range(20))
    assert len({each.seq for each in told}) == 20
    by_id = {each.event_id: each.accepted_at.isoformat().replace("+00:00", "Z") for each in told}
    assert all(answer["accepted_at"] == by_id[answer["event_id"]] for answer in answers)
    assert (counts["told"], counts["repeated"]) == (20, 60)
    assert 'ml_assets_told_events_total{system="toy"} 20.0' in metrics
    assert 'route="events"' in metrics and 'route="events/visits"' not in metrics


def test_a_token_for_predictions_opens_events_too(toy: Toy) -> None:
    _, predict = Tokens(toy.settings.tokens).create("a", ("predict",), (), NOON)
    _, feedback = Tokens(toy.settings.tokens).create("b", ("feedback",), (), NOON)
    with serving(toy) as client:
        problem(client.post(PATH, json=visit()), 401, "unauthorized")
        for token, status in ((predict, 200), (feedback, 403)):
            for path, body in ((PATH, visit()), (f"{PATH}/batch", {"events": [visit()]})):
                answer = client.post(path, json=body,
                                     headers={"authorization": f"Bearer {token}"})
                assert answer.status_code == status, answer.text


def test_a_days_events_reach_the_lake_with_their_positions(
    client: httpx.Client, toy: Toy
) -> None:
    client.post(PATH, json=visit("v1", seen=[1, 2], seconds=2.5))
    client.post(PATH, json=visit("v2", page=None))
    with closing(EventLog(toy.settings.event_log)) as log:  # what an older parser let in
        first = logged(toy)[0]
        log.told.append([ToldEvent(
            system="toy", stream="visits", event_id="v3", event_timestamp=NOON,
            accepted_at=first.accepted_at + timedelta(seconds=1), request="{}")])
    days: list[date] = [NOON.date()]
    store_raw(TOY, toy.settings, days, VISITS)
    stored = store_events(TOY, toy.settings, days, VISITS)
    assert (stored.usable, stored.aside, stored.broken) == (2, 1, [])
    assert stored.reasons == {"the visit has no shop": 1}
    schema = stream_schema(VISITS)
    [part] = Lake(toy.settings.lake).portions("toy", "visits", schema, days[0], size=10)
    rows = part.to_pylist()
    assert [(row["page"], row["seconds"], row["seen"]) for row in rows] == [
        ("shoes", 2.5, [1, 2]), (None, None, [])]
    assert [row["log_seq"] for row in rows] == [each.seq for each in logged(toy)][:2]
