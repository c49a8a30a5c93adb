"""The machine's clock goes back, the log's instants do not; and someone is told."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

import httpx
import pytest

from ml_assets.core.settings import Settings
from ml_assets.ingest.log.event_log import EventLog, Feedback, Prediction
from tests.serving.kit import NOON, Toy, asked, problem, serving

HOUR = timedelta(hours=1)


@pytest.fixture
def toy(settings: Settings) -> Toy:
    toy = Toy(settings=settings)
    toy.deploy(1)
    return toy


def predict(api: httpx.Client, event_id: str, at: datetime | None = None) -> str:
    answer = api.post("/v1/toy/predict", json=asked(event_id, at))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["prediction_id"])


def say(api: httpx.Client, about: str, source: str) -> None:
    said = {"prediction_id": about, "label": True, "source": source}
    assert api.post("/v1/toy/feedback", json=said).status_code == 200


def logged(toy: Toy) -> tuple[list[Prediction], list[Feedback]]:
    """All that was logged, in the order in which it was written."""
    log = EventLog(toy.settings.event_log)
    ids = [str(row[0]) for row in log.connection.execute(
        "select prediction_id from predictions order by rowid")]
    predictions = [found for each in ids if (found := log.prediction(each)) is not None]
    words = [word for each in ids for word in log.feedback.on(each)]
    log.close()
    return predictions, words


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "asgi"])
def test_instants_go_on_while_the_clock_is_an_hour_behind(
    toy: Toy, direct: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), serving(toy, direct=direct) as api:
        about = predict(api, "before")
        toy.clock.set(NOON - HOUR)
        for n in range(3):
            predict(api, f"after {n}")
        say(api, about, "buyer")
        ready = api.get("/readyz").json()
        assert ready["ready"] and "was assigned already" in ready["warnings"][0]
        metrics = api.get("/metrics").text
        assert 'ml_assets_clock_jumps_total{direction="back",system="toy"} 1.0' in metrics
        toy.clock.set(NOON + HOUR)
        predict(api, "later")
        assert "already" not in api.get("/readyz").text
    predictions, [word] = logged(toy)
    step = timedelta(microseconds=1)
    assert [p.accepted_at - NOON for p in predictions] == [0 * step, step, 2 * step, 3 * step, HOUR]
    assert [p.event_timestamp for p in predictions] == [p.accepted_at for p in predictions]
    assert word.received_at == NOON + 4 * step
    lines = [record.getMessage() for record in caplog.records if "went back" in record.message]
    assert lines == [f"toy: the clock went back by 3,600 s, to {(NOON - HOUR).isoformat()}; "
                     "instants in the log never go back"]


def test_a_restart_and_another_worker_go_on_from_what_the_log_has(toy: Toy) -> None:
    with serving(toy) as api:
        say(api, predict(api, "a"), "buyer")
    toy.clock.set(NOON - HOUR)
    with serving(toy) as api, serving(toy) as other:
        assert "was assigned already" in str(api.get("/readyz").json()["warnings"])
        for n in range(4):
            predict(api, f"one {n}")
            say(other, predict(other, f"other {n}"), "buyer")
            say(api, predict(api, f"third {n}"), "stranger")
    predictions, _ = logged(toy)
    at = [p.accepted_at for p in predictions]
    assert at == sorted(set(at)) and at[0] == NOON


def test_an_event_is_in_the_future_of_the_clock_not_of_what_was_assigned(toy: Toy) -> None:
    """Else each event a minute ahead would take the next ones further."""
    with serving(toy) as api:
        predict(api, "a")
        toy.clock.set(NOON - HOUR)
        predict(api, "b", NOON - HOUR + timedelta(seconds=60))
        ahead = asked("c", NOON - HOUR + timedelta(seconds=61))
        problem(api.post("/v1/toy/predict", json=ahead), 422, "event_in_the_future")
        for n in range(5):
            about = predict(api, f"ahead {n}", NOON - HOUR + timedelta(seconds=60))
            say(api, about, "buyer")
    predictions, _ = logged(toy)
    assert max(p.accepted_at for p in predictions) < NOON + timedelta(seconds=1)
