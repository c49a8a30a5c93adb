"""Feedback in batches over a real socket: as word by word, and in a replay each at its time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from ml_assets.core.feedback import FeedbackLimit, FeedbackPolicy, TrustClass
from ml_assets.core.settings import Settings
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.told import LABELS
from tests.serving.kit import NOON, Toy, asked, serving
from tests.toy import TOY

MINUTE = timedelta(minutes=1)
POLICY = FeedbackPolicy(
    trusted=(TrustClass(name="customer", sources=("buyer",)),),
    limit=FeedbackLimit(words=2, window=timedelta(hours=1)),
)


def made(settings: Settings, policy: FeedbackPolicy = POLICY) -> Toy:
    toy = Toy(settings=settings, system=replace(TOY, feedback=policy))
    toy.deploy(1)
    return toy


@pytest.fixture
def toy(settings: Settings) -> Toy:
    return made(settings)


@pytest.fixture
def api(toy: Toy) -> Iterator[httpx.Client]:
    with serving(toy) as client:
        yield client


def predicted(api: httpx.Client, *event_ids: str) -> list[str]:
    return [api.post("/v1/toy/predict", json=asked(each)).json()["prediction_id"]
            for each in event_ids]


def word(about: str, label: object, source: str, at: datetime | None = None) -> dict[str, Any]:
    said = {"prediction_id": about, "label": label, "source": source}
    return said if at is None else {**said, "said_at": at.isoformat()}


def say(api: httpx.Client, *words: dict[str, Any]) -> list[dict[str, Any]]:
    answer = api.post("/v1/toy/feedback/batch", json={"feedback": list(words)})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["feedback"]
    return found


def test_each_word_gets_its_own_answer_or_problem(api: httpx.Client) -> None:
    a, b = predicted(api, "a", "b")
    answers = say(
        api, word(a, True, "buyer"), word("nobody's", True, "buyer"), word(a, "yes", "buyer"),
        word(a, False, "stranger"), word(b, False, "stranger"), word(a, True, "stranger"),
        {"prediction_id": b}, word(b, False, "buyer"),
    )
    codes = [each.get("error", {}).get("code") for each in answers]
    assert codes == [None, "not_found", "invalid_request", None, None, "too_often",
                     "invalid_request", None]
    assert [answers[n]["label"] for n in (0, 3, 4, 7)] == [True, True, None, False]


def test_in_a_replay_each_word_counts_from_its_time_as_if_it_came_alone(tmp_path: Path) -> None:
    """The log holds the same, to the microsecond: the words, and the labels that they settle."""
    def logged(folder: str, *, together: bool) -> list[object]:
        toy = made(Settings(var=tmp_path / folder), replace(
            POLICY, limit=FeedbackLimit(words=9, window=timedelta(hours=1))))
        with serving(toy) as api:
            a, b = predicted(api, "a", "b")
            words = [(a, True, NOON + MINUTE), (b, True, NOON + MINUTE), (a, False, NOON - MINUTE),
                     (b, False, NOON + 3 * MINUTE)]
            if together:
                toy.clock.set(NOON + 3 * MINUTE)
                say(api, *(word(about, label, "buyer", at) for about, label, at in words))
            else:
                for about, label, at in words:
                    toy.clock.set(max(at, toy.clock.now()))
                    say(api, word(about, label, "buyer"))
        log = EventLog(toy.settings.event_log)
        always = NOON - MINUTE, NOON + 5 * MINUTE
        found: list[object] = [*log.feedback.between("toy", *always)]
        found += log.told.between("toy", LABELS, *always)
        log.close()
        return found

    alone = logged("alone", together=False)
    assert len(alone) == 8
    assert logged("together", together=True) == alone


def test_outside_a_replay_a_word_is_of_now_whatever_a_client_says(
    toy: Toy, api: httpx.Client
) -> None:
    [about] = predicted(api, "a")
    toy.clock.start()
    say(api, word(about, True, "buyer", NOON - timedelta(days=300)))
    [said] = EventLog(toy.settings.event_log).feedback.on(about)
    assert said.received_at >= NOON


def test_too_many_words_are_refused_whole(api: httpx.Client) -> None:
    [about] = predicted(api, "a")
    answer = api.post("/v1/toy/feedback/batch",
                      json={"feedback": [word(about, True, "buyer")] * 257})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "batch_too_large")
