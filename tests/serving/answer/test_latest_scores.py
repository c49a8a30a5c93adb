"""The latest score of an entity: batch and predictions keep it together, and never go back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest

from ml_assets.core.errors import ContractViolation, DeclarationError, NotReady
from ml_assets.core.settings import Settings
from ml_assets.core.time import DAY
from ml_assets.features.scores import load_scores
from ml_assets.features.store import open_backend
from ml_assets.ingest.events import parse_raw, raw_from_log
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog, Prediction
from ml_assets.ingest.tables import events_schema
from ml_assets.serving.access.tokens import Tokens
from ml_assets.serving.batch.day import DayScorer
from ml_assets.serving.batch.summary import ScoreSummary
from tests.serving.kit import (
    LATER,
    NOON,
    FakeHistory,
    FakeScorer,
    Toy,
    asked,
    problem,
    serving,
)
from tests.serving.tiles import ScoredToy, tiles
from tests.toy import TOY

TODAY = NOON.date()


@pytest.fixture
def toy(settings: Settings) -> Toy:
    toy = ScoredToy(settings=settings)
    toy.deploy(1)
    return toy


@pytest.fixture
def api(toy: Toy) -> Iterator[httpx.Client]:
    with serving(toy) as client:
        yield client


def predict(api: httpx.Client, event_id: str, at: datetime = NOON, **of: Any) -> dict[str, Any]:
    answer = api.post("/v1/toy/predict", json=asked(event_id, at, **of))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def score(api: httpx.Client, key: str = "corner") -> dict[str, Any]:
    answer = api.get(f"/v1/toy/scores/{key}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def run_batch(toy: Toy, *, version: int = 1, at: datetime) -> None:
    """What the assets `events`, `batch_predictions` and `scores` do with today."""
    log, lake = EventLog(toy.settings.event_log), Lake(toy.settings.lake)
    accepted = list(log.predictions("toy", NOON, NOON + DAY))
    lake.write("toy", "events", TODAY, parse_raw(TOY, raw_from_log(accepted)).events,
               events_schema(TOY))
    scorer = toy.models[version]
    assert isinstance(scorer, FakeScorer)
    DayScorer(
        system=TOY, scorer=scorer, version=version, history=FakeHistory(), lake=lake, log=log,
        at=at, scored=2, asked=4,
    ).score(TODAY, ScoreSummary())
    log.close()
    load_scores(toy.settings, TOY, [TODAY])


def test_every_prediction_refreshes_the_score_of_its_entity(toy: Toy, api: httpx.Client) -> None:
    """Answered is refreshed: whoever reads after an answer reads this answer."""
    for n in range(3):
        toy.clock.set(NOON + timedelta(minutes=n))
        answered = predict(api, f"e{n}", NOON + timedelta(seconds=n), amount=float(n))
        found = score(api)
        assert found == {
            "key": "corner", "score": answered["score"], "decision": answered["decision"],
            "model_version": 1, "event_id": f"e{n}",
            "event_timestamp": f"2024-01-09T12:00:0{n}Z",
            "scored_at": f"2024-01-09T12:0{n}:00Z", "basis": "prediction",
        }


def test_of_one_entity_in_a_batch_of_requests_the_latest_event_stays(api: httpx.Client) -> None:
    body = {"events": [asked(f"e{n}", NOON - timedelta(minutes=n)) for n in (3, 1, 2)]}
    assert api.post("/v1/toy/predict/batch", json=body).status_code == 200
    assert score(api)["event_id"] == "e1"


def test_an_older_event_never_replaces_a_newer_one(toy: Toy, api: httpx.Client) -> None:
    predict(api, "new", NOON)
    toy.clock.set(LATER)
    predict(api, "late", NOON - timedelta(minutes=5))
    assert score(api)["event_id"] == "new"


def test_a_retry_changes_nothing(toy: Toy, api: httpx.Client) -> None:
    predict(api, "e1")
    before = score(api)
    toy.clock.set(LATER)
    predict(api, "e1")
    assert score(api) == before


def test_a_batch_says_what_the_api_said_and_takes_its_place(toy: Toy, api: httpx.Client) -> None:
    """The law: for the same event and version the batch's score is the prediction's."""
    said = {shop: predict(api, f"e-{shop}", amount=7.0, shop=shop) for shop in ("corner", "mall")}
    run_batch(toy, at=LATER)
    for shop, answer in said.items():
        found = score(api, shop)
        assert (found["score"], found["event_id"]) == (answer["score"], answer["event_id"])
        assert (found["basis"], found["scored_at"]) == ("batch", "2024-01-09T13:00:00Z")


def test_a_newer_model_s_batch_replaces_the_score_of_the_same_event(
    toy: Toy, api: httpx.Client
) -> None:
    before = predict(api, "e1")
    run_batch(toy, version=2, at=LATER)
    found = score(api)
    assert (found["model_version"], found["event_id"]) == (2, "e1")
    assert found["score"] < before["score"]


def test_a_batch_over_older_events_never_replaces_a_newer_prediction(
    toy: Toy, api: httpx.Client
) -> None:
    """Neither by ending later nor by a newer model; and to load it again changes nothing."""
    predict(api, "old")
    run_batch(toy, at=NOON)
    toy.clock.set(LATER)
    predict(api, "new", LATER)
    newest = score(api)
    load_scores(toy.settings, TOY, [TODAY])
    assert score(api) == newest
    lake = Lake(toy.settings.lake)
    log = EventLog(toy.settings.event_log)
    DayScorer(
        system=TOY, scorer=FakeScorer(bias=3.0), version=4, history=FakeHistory(), lake=lake,
        log=log, at=LATER + DAY,
    ).score(TODAY, ScoreSummary())
    log.close()
    assert load_scores(toy.settings, TOY, [TODAY]) == 1
    assert score(api) == newest


def test_an_unknown_key_is_404_and_says_what_would_fill_it(api: httpx.Client) -> None:
    found = problem(api.get("/v1/toy/scores/nobody"), 404, "not_found")
    assert "nothing has been scored of shop 'nobody'" in found["message"]
    assert "toy/scores" in found["message"]
    predict(api, "e1", shop="")
    problem(api.get("/v1/toy/scores/"), 404, "not_found")
    problem(api.get("/v1/tox/scores/corner"), 404, "not_found")


def test_a_system_without_scores_says_what_to_declare(settings: Settings) -> None:
    toy = ScoredToy(settings=settings, system=replace(TOY, scores_by=None))
    toy.deploy(1)
    with serving(toy) as api:
        predict(api, "e1")
        found = problem(api.get("/v1/toy/scores/corner"), 404, "not_found")
    assert "Declare scores_by, one of its entities (shop), and scores_view" in found["message"]
    backend = open_backend(settings)
    assert list(backend.views()) == ["toy_shop"]
    backend.close()
    with pytest.raises(DeclarationError, match=r"declares no scores_by.*shop"):
        load_scores(settings, toy.system, [TODAY])


@pytest.mark.parametrize("shop", ["a/b", "a b@c.example", "ü€", "..", "%2F", "a?b#c", "x" * 300])
def test_a_key_is_read_back_whatever_is_in_it(api: httpx.Client, shop: str) -> None:
    predict(api, "e1", shop=shop)
    quoted = "".join(f"%{byte:02X}" for byte in shop.encode())
    assert score(api, quoted)["key"] == shop


def test_scores_are_open_to_those_who_may_predict(toy: Toy, api: httpx.Client) -> None:
    predict(api, "e1")
    tokens = Tokens(toy.settings.tokens)
    for name, scope, status in (("shop", "predict", 200), ("crowd", "feedback", 403)):
        _, secret = tokens.create(name, [scope], [], NOON)  # type: ignore[list-item]
        with serving(toy) as closed:
            headers = {"Authorization": f"Bearer {secret}"}
            answer = closed.get("/v1/toy/scores/corner", headers=headers)
        assert answer.status_code == status


def test_reads_of_scores_are_one_route_in_the_metrics(api: httpx.Client) -> None:
    for key in ("corner", "mall", "a/b/rows"):
        api.get(f"/v1/toy/scores/{key}")
    assert 'route="scores",status="404",system="toy"} 3.0' in api.get("/metrics").text


def test_a_score_that_was_logged_is_there_though_the_process_died_before_it_was_kept(
    toy: Toy, api: httpx.Client
) -> None:
    """The score follows the log: whoever reads it catches up."""
    predict(api, "e1")
    with closing(EventLog(toy.settings.event_log)) as log:
        log.append([made("e2", '{"shop": "corner", "amount": 1}')])
    assert score(api)["event_id"] == "e2"


def test_a_prediction_that_is_not_logged_leaves_no_score(settings: Settings) -> None:
    state = tiles(EventLog(settings.event_log).connection, settings)
    event = {"shop": "corner", "event_id": "e1", "event_timestamp": NOON}
    counts, _ = state.count([event])
    with closing(EventLog(settings.event_log)) as log:
        with pytest.raises(ContractViolation):
            log.append([made("e1", score=float("nan"))], counts)
        assert state.latest("corner") is None
        log.append([made("e1")], counts)
        found = state.latest("corner")
        assert found is not None and found.event_id == "e1"
    state.close()


def test_another_declaration_of_the_view_is_a_warning_and_keeps_no_answer_back(
    toy: Toy, api: httpx.Client
) -> None:
    predict(api, "e1")
    backend = open_backend(toy.settings)
    backend.register("toy_scores", "another digest")
    predict(api, "e2")
    ready = api.get("/readyz").json()
    assert ready["ready"]
    assert "predictions do not refresh toy_scores: NotReady" in ready["warnings"][0]
    problem(api.get("/v1/toy/scores/corner"), 503, "not_ready")
    backend.drop(backend.views()["toy_scores"].id)
    backend.close()
    predict(api, "e3")
    assert score(api)["event_id"] == "e3"
    assert api.get("/readyz").json()["warnings"] == []


def test_a_day_that_was_not_scored_or_before_scores_were_kept_is_named(toy: Toy) -> None:
    with pytest.raises(NotReady, match="toy/batch_predictions of 2024-01-09 is not in the lake"):
        load_scores(toy.settings, TOY, [TODAY])
    with serving(toy) as api:
        predict(api, "e1")
    run_batch(toy, at=LATER)
    with pytest.raises(NotReady, match=r"lacks the columns \['note'\].*materialise it again"):
        load_scores(toy.settings, replace(
            TOY, entities=(*TOY.entities, replace(TOY.entities[0], name="note")),
            scores_by="note",
        ), [TODAY])


def made(event_id: str, request: str = "{}", score: float = 0.5) -> Prediction:
    return Prediction(
        prediction_id=f"p-{event_id}", system="toy", event_id=event_id, event_timestamp=NOON,
        accepted_at=NOON, request=request, features_as_of=NOON, features=np.zeros(1, np.float32),
        feature_names=("amount",), model_version=1, score=score, decision=True, degraded=False,
        role="champion", propensity=1.0,
    )
