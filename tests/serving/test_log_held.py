"""Another process keeps the log to itself: everybody is told so as soon as the docs say."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pytest

from ml_assets.core.settings import Settings
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.serving import composition
from tests.places import file_of
from tests.serving.kit import NOON, Toy, asked, problem, serving
from tests.serving.tiles import CountingToy
from tests.toy import TOY

PATIENCE_S = 1.0
SLACK_S = 0.5


@contextmanager
def holding(toy: Toy) -> Iterator[None]:
    """Another process writes, and does not end."""
    EventLog(toy.settings.event_log).close()
    other = sqlite3.connect(file_of(toy.settings.event_log), isolation_level=None, timeout=10)
    other.execute("begin immediate")
    try:
        yield
    finally:
        other.execute("rollback")
        other.close()


@pytest.fixture
def toy(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Toy:
    monkeypatch.setattr(composition, "LOG_PATIENCE_S", PATIENCE_S)
    toy = Toy(settings=settings)
    toy.deploy(1)
    return toy


def test_the_documented_patience_is_the_real_one() -> None:
    assert composition.LOG_PATIENCE_S == 2


def send(api: httpx.Client, n: int, about: str) -> tuple[float, httpx.Response]:
    """One of several calls that write, after n tenths of a second; and how long it took."""
    time.sleep(n / 10)
    call, body = [
        ("predict", asked(f"e{n}", NOON)),
        ("predict/batch", {"events": [asked(f"b{n}", NOON)]}),
        ("feedback", {"prediction_id": about, "label": True, "source": f"s{n}"}),
    ][n % 3]
    started = time.monotonic()
    answer = api.post(f"/v1/toy/{call}", json=body)
    return time.monotonic() - started, answer


@pytest.mark.parametrize("cold", [False, True])
def test_whoever_comes_meanwhile_is_answered_in_time_and_told_no_path(
    toy: Toy, cold: bool
) -> None:
    """However many wait already: those who wait one after the other do not add up."""
    with serving(toy) as api, ThreadPoolExecutor(30) as pool:
        about = "p" if cold else api.post("/v1/toy/predict", json=asked()).json()["prediction_id"]
        with holding(toy):
            answers = list(pool.map(lambda n: send(api, n, about), range(24)))
            unready = api.get("/readyz")
        for seconds, answer in answers:
            assert seconds < PATIENCE_S + SLACK_S
            if answer.status_code != 404:  # feedback, if there is no prediction yet
                found = problem(answer, 503, "log_unavailable")
                assert answer.headers["retry-after"] == "1"
                assert "another process" in found["message"]
            assert str(toy.settings.var) not in answer.text
        assert unready.status_code == 503
        assert str(toy.settings.var) not in unready.text
        assert api.post("/v1/toy/predict", json=asked("later")).status_code == 200
        assert api.get("/readyz").status_code == 200


def test_what_was_answered_before_is_answered_again_meanwhile(toy: Toy) -> None:
    with serving(toy) as api:
        first = api.post("/v1/toy/predict", json=asked("a", NOON))
        with holding(toy):
            problem(api.post("/v1/toy/predict", json=asked("b")), 503, "log_unavailable")
            assert api.post("/v1/toy/predict", json=asked("a", NOON)).content == first.content
            about = first.json()["prediction_id"]
            assert api.get(f"/v1/toy/predictions/{about}").status_code == 200


def test_whoever_can_be_answered_within_the_patience_is(toy: Toy) -> None:
    with serving(toy) as api, ThreadPoolExecutor(1) as pool:
        api.post("/v1/toy/predict", json=asked("a"))
        for name in ("b", "c"):
            with holding(toy):
                answer = pool.submit(api.post, "/v1/toy/predict", json=asked(name))
                time.sleep(PATIENCE_S / 3)
            assert answer.result().status_code == 200


def test_scores_are_read_while_another_process_writes_the_log(settings: Settings) -> None:
    toy = CountingToy(settings=settings)
    toy.deploy(1)
    with serving(toy) as api:
        api.post("/v1/toy/predict", json=asked("a"))
        with holding(toy):
            assert api.get("/v1/toy/scores/corner").json()["event_id"] == "a"


def test_systems_share_the_patience(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composition, "LOG_PATIENCE_S", PATIENCE_S)
    other = replace(TOY, name="yot")
    toys = [Toy(settings=settings, system=each) for each in (TOY, other)]
    for toy in toys:
        toy.deploy(1)
    with serving(toys[0], also=[other]) as api, ThreadPoolExecutor(2) as pool, holding(toys[0]):
        def timed(name: str) -> float:
            started = time.monotonic()
            answer = api.post(f"/v1/{name}/predict/batch", json={"events": [asked()]})
            problem(answer, 503, "log_unavailable")
            return time.monotonic() - started

        assert max(pool.map(timed, ["toy", "yot"])) < PATIENCE_S + SLACK_S
