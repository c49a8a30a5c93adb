"""What is at fault fails alone: a body, an event, a request, a system."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.errors import LogUnavailable
from ml_assets.core.runtime.isolation import isolate, isolate_in_batch
from ml_assets.core.settings import Settings
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.serving.answer.latest_scores import LatestScores
from ml_assets.serving.answer.readiness import Readiness
from ml_assets.serving.contract.decoding import RequestRefused, decode_each
from ml_assets.serving.http.bodies.predictions import ONE
from tests.meter import METER
from tests.serving.batching.test_micro_batches import Allergic, held
from tests.serving.kit import NOON, Toy, asked, problem, serving

# --- the code ---------------------------------------------------------------------------------


def half(number: int) -> float:
    if number % 3 == 0:
        raise ValueError(number)
    return number / 2


@given(st.lists(st.integers(0, 100), max_size=40))
def test_each_item_gets_what_it_would_get_alone(numbers: list[int]) -> None:
    undone = 0

    def halves(some: Sequence[int]) -> list[float]:
        return [half(number) for number in some]

    def undo() -> None:
        nonlocal undone
        undone += 1

    for found in (isolate(half, numbers), isolate_in_batch(halves, numbers, undo=undo)):
        assert len(found) == len(numbers)
        for number, each in zip(numbers, found, strict=True):
            if number % 3:
                assert each == number / 2
            else:
                assert isinstance(each, ValueError) and each.args == (number,)
    assert bool(undone) == any(number % 3 == 0 for number in numbers)


def test_what_is_everyones_fault_is_everyones_error() -> None:
    def log(some: Sequence[int]) -> list[int]:
        raise LogUnavailable("the disk is full")

    with pytest.raises(LogUnavailable):
        isolate_in_batch(log, [1, 2, 3], everyones=(LogUnavailable,))


def test_what_stops_the_process_is_nobodys_error() -> None:
    def stop(number: int) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        isolate(stop, [1])


# --- bodies -----------------------------------------------------------------------------------

GOOD = json.dumps(asked("good")).encode()
NO_UTF8 = b'{"\xda":1}'


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A sound body with a few bytes changed, put in or left out."""
    body = bytearray(GOOD)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        body[start : start + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(body)


@given(st.lists(st.binary(max_size=40) | mutated(), max_size=4))
def test_any_bytes_whatever_are_a_request_or_a_refusal_and_never_touch_their_neighbours(
    bodies: list[bytes],
) -> None:
    first, *found, last = decode_each(ONE, [GOOD, *bodies, GOOD])
    assert first == last == ONE.decode(GOOD)
    for each in found:
        if isinstance(each, Exception):
            assert isinstance(each, RequestRefused)
            assert each.status in (415, 422)
            assert len(str(each)) < 1000


@pytest.fixture
def toy(settings: Settings) -> Toy:
    toy = Toy(settings=settings)
    toy.deploy(1)
    return toy


@pytest.fixture
def api(toy: Toy) -> Iterator[httpx.Client]:
    with serving(toy) as client:
        yield client


@pytest.mark.parametrize("body", [
    NO_UTF8, b"\xda", b'{"event": {"amount": 1}, "event_\xda": "a"}', b'\xff\xfe{', b"\x00" * 9,
    b'{"events": [{"\xda": 1}], "\xda": 1}', b'{"prediction_id": "p", "\xff": true}',
    b'{"event": {"amount": 1, "note": "\xda"}}', b'"\xed\xa0\x80"', b"[" * 5000,
])
@pytest.mark.parametrize("call", ["predict", "predict/batch", "feedback"])
def test_a_body_of_any_bytes_is_refused_at_every_address(
    api: httpx.Client, call: str, body: bytes
) -> None:
    answer = api.post(f"/v1/toy/{call}", content=body)
    assert answer.status_code in (415, 422), answer.text
    assert json.loads(answer.content)["error"]["message"]
    assert api.post("/v1/toy/predict", json=asked()).status_code == 200


def test_a_name_as_long_as_the_body_is_not_sent_back(api: httpx.Client) -> None:
    answer = api.post("/v1/toy/predict", content=b'{"%s": 1}' % (b"k" * 1_000_000))
    problem(answer, 422, "invalid_request")
    assert len(answer.content) < 2000


def test_an_event_of_a_batch_that_is_not_utf8_is_refused_in_its_place(api: httpx.Client) -> None:
    good = json.dumps(asked("a")).encode()
    body = b'{"events": [%s, %s, {"event": {"amount": 1, "note": "\xda"}}]}' % (good, NO_UTF8)
    first, second, third = json.loads(api.post("/v1/toy/predict/batch", content=body).content)[
        "predictions"]
    assert first["event_id"] == "a"
    assert second["error"]["code"] == "malformed_json"
    assert third["error"]["code"] == "unusable_event"


def test_neighbours_never_notice_and_the_log_has_one_line(
    toy: Toy, caplog: pytest.LogCaptureFixture
) -> None:
    """A quarter of all requests are hostile, many at once."""
    with serving(toy) as api, ThreadPoolExecutor(16) as pool:
        def send(n: int) -> int:
            if n % 4:
                return api.post("/v1/toy/predict", json=asked(f"e{n}")).status_code
            return api.post("/v1/toy/predict", content=NO_UTF8).status_code

        statuses = list(pool.map(send, range(200)))
        said = [record for record in caplog.records if record.name.startswith("ml_assets.serving")
                and record.name != "ml_assets.serving.models.pool"]
    assert [status for n, status in enumerate(statuses) if n % 4] == [200] * 150
    assert statuses[::4] == [422] * 50
    assert EventLog(toy.settings.event_log).count("toy") == (150, 0)
    assert len(said) == 1 and not said[0].exc_info


# --- events, models, systems ------------------------------------------------------------------


def test_an_event_of_a_batch_that_breaks_the_model_fails_alone(settings: Settings) -> None:
    toy = Toy(settings=settings, models={1: Allergic()})
    toy.deploy(1)
    notes = ["fine", "poison", "fine", "odd", "fine"]
    events = [asked(f"e{n}", note=note) for n, note in enumerate(notes)]
    with serving(toy) as api:
        answer = api.post("/v1/toy/predict/batch", json={"events": events})
        assert answer.status_code == 200
        found = answer.json()["predictions"]
        counts = api.get("/v1/toy/version").json()["counts"]
    assert [each.get("event_id") for each in found] == ["e0", None, "e2", None, "e4"]
    assert [each["error"]["code"] for each in found if "error" in each] == ["internal", "failed"]
    assert "secret" not in answer.text
    assert counts["predicted"] == 3
    assert EventLog(settings.event_log).count("toy") == (3, 0)


def test_a_fault_is_logged_once_with_its_trace_and_the_others_are_counted(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    toy = Toy(settings=settings, models={1: Allergic()})
    toy.deploy(1)
    with serving(toy) as api:
        for direct in (True, False):
            path = "/v1/toy/predict" if direct else "/v1/toy/predict/batch"
            for n in range(10):
                event = asked(f"{path}{n}", note="poison")
                api.post(path, json=event if direct else {"events": [event]})
    traces = [record for record in caplog.records if record.exc_info]
    assert len(traces) == 1
    assert any("19 more lines like this one" in record.getMessage() for record in caplog.records)
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")
                and record.levelno >= logging.WARNING]


def test_a_fault_in_a_handler_is_logged_once_too(
    toy: Toy, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: LatestScores, key: str) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(LatestScores, "read", broken)
    with serving(toy) as api:
        for _ in range(9):
            problem(api.get("/v1/toy/scores/corner"), 500, "internal")
    assert len([record for record in caplog.records if record.exc_info]) == 1


def test_a_system_that_cannot_be_asked_says_so_and_hides_no_other(
    toy: Toy, api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Readiness) -> list[str]:
        raise ZeroDivisionError("no such thing in /srv/secret/place")

    monkeypatch.setattr(Readiness, "problems", broken)
    answer = api.get("/readyz")
    assert answer.status_code == 503
    assert "toy: its state cannot be read: ZeroDivisionError" in answer.json()["problems"][0]
    assert "/srv" not in answer.text


def test_a_system_without_a_model_is_not_ready_alone(settings: Settings) -> None:
    """A load balancer goes on sending what the others can answer."""
    toy = Toy(settings=settings)
    toy.deploy(1)
    with serving(toy, also=[METER]) as api:
        all_of_them = api.get("/readyz")
        assert all_of_them.status_code == 200
        assert all_of_them.json()["systems"] == {"toy": True, "meter": False}
        assert "no model of 'meter' is deployed" in all_of_them.json()["problems"][0]
        assert api.get("/readyz/toy").json() == {
            "ready": True, "systems": {"toy": True}, "problems": [], "warnings": []}
        alone = api.get("/readyz/meter")
        assert alone.status_code == 503 and alone.json()["systems"] == {"meter": False}
        problem(api.get("/readyz/metre"), 404, "not_found")
        assert api.post("/v1/toy/predict", json=asked("e1")).status_code == 200
        reading = {"event": {"site": "s", "device": 1, "reading": 1.0, "celsius": 2.0}}
        found = problem(api.post("/v1/meter/predict", json=reading), 503, "not_ready")
        assert "no model of 'meter' is deployed" in found["message"]
        metrics = api.get("/metrics").text
    assert 'route="readyz",status="503",system="meter"' in metrics


def test_a_system_whose_declaration_is_broken_fails_alone(settings: Settings) -> None:
    """It is no unknown system: whoever asks for it is told why it cannot answer."""
    toy = Toy(settings=settings)
    toy.deploy(1)
    why = f"FileNotFoundError: {settings.var}/words.txt"
    with serving(toy, broken={"meter": why}) as api:
        ready = api.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["systems"] == {"toy": True, "meter": False}
        alone = api.get("/readyz/meter")
        assert alone.status_code == 503
        assert "the declaration of 'meter' is broken: FileNotFound" in alone.json()["problems"][0]
        for call in ("predict", "feedback"):
            found = problem(api.post(f"/v1/meter/{call}", json={}), 503, "not_ready")
            assert "is broken" in found["message"] and str(settings.var) not in found["message"]
        assert str(settings.var) not in ready.text + alone.text
        assert api.post("/v1/toy/predict", json=asked("e1")).status_code == 200


def test_hostile_bodies_that_wait_with_honest_ones_are_refused_alone(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(toy, monkeypatch) as waiting:
        waiting.ask(asked("a", NOON))
        waiting.asked.append(waiting.pool.submit(
            waiting.api.post, "/v1/toy/predict", content=NO_UTF8))
        waiting.ask(asked("b", NOON))
        assert [answer.status_code for answer in waiting.answers()] == [200, 422, 200]
