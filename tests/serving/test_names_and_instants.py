"""What no later room could process is refused at the door, with the field, on both ways in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import httpx
import numpy as np
import pytest

from ml_assets.core.settings import Settings
from ml_assets.core.time import EARLIEST
from ml_assets.ingest.log.event_log import EventLog
from tests.serving.kit import NOON, FakeFeatures, Toy, event, problem, serving


@dataclass(kw_only=True)
class SummingFeatures(FakeFeatures):
    """A store that sums amounts."""

    limits: Mapping[str, float] = field(default_factory=lambda: {"amount": 2.0**64})


NAMES = ["x\0a", "a\n", "\x1b[2J", "\x7f", "\x85", "\u2028", "\u2029", "x" * 201]


@pytest.fixture
def toy(settings: Settings) -> Toy:
    toy = Toy(settings=settings)
    toy.deploy(1)
    return toy


@pytest.fixture(params=[True, False], ids=["direct", "asgi"])
def api(toy: Toy, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with serving(toy, direct=request.param) as client:
        yield client


def post(api: httpx.Client, body: str | dict[str, object]) -> httpx.Response:
    content = body if isinstance(body, str) else json.dumps(body)
    return api.post("/v1/toy/predict", content=content.encode())


def test_an_instant_outside_of_the_declared_range_is_refused(
    toy: Toy, api: httpx.Client
) -> None:
    for at in (
        "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00-14:00",
        "1677-09-21T00:12:43Z", "1899-12-31T23:59:59.999999Z", "1900-01-01T01:00:00+02:00",
        "2200-01-01T00:00:00Z", "2262-04-12T00:00:00Z", "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59-14:00",
    ):
        found = problem(post(api, {"event": event(), "event_timestamp": at}),
                        422, "invalid_request")
        assert found["field"] == "event_timestamp", at
        assert "1900-01-01" in found["message"]
    log = EventLog(toy.settings.event_log)
    assert log.count("toy") == (0, 0)
    log.close()


def test_the_ends_of_the_range_are_let_in(api: httpx.Client) -> None:
    for at in (EARLIEST, NOON + timedelta(seconds=60)):
        assert post(api, {"event": event(), "event_timestamp": at.isoformat()}).status_code == 200
    found = post(api, {"event": event(),
                       "event_timestamp": (NOON + timedelta(seconds=61)).isoformat()})
    assert problem(found, 422, "event_in_the_future")["field"] == "event_timestamp"


def test_an_event_id_that_is_no_name_is_refused(api: httpx.Client) -> None:
    for name in ["", *NAMES]:
        found = problem(post(api, {"event": event(), "event_id": name}), 422, "invalid_request")
        assert found["field"] == "event_id", ascii(name)
        assert "\\x" not in found["message"] and "regex" not in found["message"]
    for half in (r'"\ud800"', r'"\udfff"', r'"a\ud83d"'):
        answer = post(api, '{"event": {"amount": 1}, "event_id": ' + half + "}")
        assert answer.status_code == 422, half


def test_ids_that_look_alike_are_those_of_different_events(api: httpx.Client) -> None:
    """Nothing is normalised, folded or cut off: not here, and nowhere later."""
    names = ["a", "A", "a ", " a", "é", "e\u0301", "ａ", "x" * 200]
    found = {post(api, {"event": event(), "event_id": name}).json()["prediction_id"]
             for name in names}
    assert len(found) == len(names)


def test_a_key_that_is_no_name_is_refused(api: httpx.Client) -> None:
    for shop in [*NAMES[:-1], "x" * 1001]:
        found = problem(post(api, {"event": event(shop=shop)}), 422, "unusable_event")
        assert found["field"] == "event" and "shop: " in found["message"]
    for shop in ("", " ", "x" * 1000, "\U0001f600", "a/../b", "'; drop table"):
        assert post(api, {"event": event(shop=shop)}).status_code == 200


def test_a_text_that_utf8_cannot_hold_is_refused_and_any_other_is_let_in(
    api: httpx.Client
) -> None:
    """A text that names nothing may have control characters, also a NUL."""
    for half in (r"a\ud800", r"\udfffa", r"\ud800\u0041", r"\ud800\ud800"):
        body = '{"event": {"amount": 1, "shop": "s", "note": "' + half + '"}}'
        assert post(api, body).status_code == 422, half
    for note in ("", "a\0b", "\n", "x" * 1000, "\U0001f600"):
        assert post(api, {"event": event(note=note)}).status_code == 200


def test_a_reason_that_quotes_megabytes_is_short(api: httpx.Client) -> None:
    answer = post(api, {"event": {"amount": "x" * 1_000_000}})
    problem(answer, 422, "unusable_event")
    assert len(answer.content) < 2000


def test_feedback_from_what_is_no_name_is_refused(api: httpx.Client) -> None:
    about = post(api, {"event": event()}).json()["prediction_id"]
    for wrong, names in (("source", ["", *NAMES, "x" * 101]), ("prediction_id", ["", *NAMES])):
        for name in names:
            said = {"prediction_id": about, "label": True, "source": "buyer", wrong: name}
            found = problem(api.post("/v1/toy/feedback", json=said), 422, "invalid_request")
            assert found["field"] == wrong


@pytest.mark.parametrize("label", [37.5, 1, 0, "true", None, [], "yes"])
def test_a_label_of_another_type_is_refused(api: httpx.Client, label: object) -> None:
    about = post(api, {"event": event()}).json()["prediction_id"]
    said = {"prediction_id": about, "label": label, "source": "buyer"}
    found = problem(api.post("/v1/toy/feedback", json=said), 422, "invalid_request")
    assert found["field"] == "label"


def test_a_number_that_features_could_not_sum_is_refused_with_its_column(
    settings: Settings
) -> None:
    """The store knows what it sums; a column that nobody sums may have any float32."""
    features = SummingFeatures()
    toy = Toy(settings=settings, features=features)
    toy.deploy(1)
    with serving(toy) as api:
        for amount in (2.0**64, 1e30, 3.4e38):
            found = problem(post(api, {"event": event(amount=amount)}), 422, "unusable_event")
            assert "amount is" in found["message"] and found["field"] == "event"
        below = float(np.nextafter(2.0**64, 0))
        assert post(api, {"event": event(amount=below)}).status_code == 200
    toy.features = FakeFeatures()
    with serving(toy) as api:
        assert post(api, {"event": event(amount=3.4e38)}).status_code == 200
