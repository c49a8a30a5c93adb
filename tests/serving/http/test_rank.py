"""Slates over a real socket: ordered, logged as rows, once, and as described."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from ml_assets.core.settings import Settings
from ml_assets.ingest.contracts.rows import read_event
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.registry.rollout import Canary, Shadow
from ml_assets.serving.access.tokens import Tokens
from ml_assets.serving.contract.openapi import openapi
from ml_assets.targets.ranking import Ranking
from tests.serving.http.test_kinds import exactly
from tests.serving.kit import LATER, NOON, Toy, asked, problem, serving, wait_until
from tests.serving.shelf import FILMS, PATH, SHELF, Shelf, ShelfScorer, click, films, logged, look


@pytest.fixture
def shelf(settings: Settings) -> Shelf:
    shelf = Shelf(settings=settings)
    shelf.deploy(1)
    return shelf


@pytest.fixture
def api(shelf: Shelf) -> Iterator[httpx.Client]:
    with serving(shelf) as client:
        yield client


def test_a_slate_is_the_best_of_the_candidates_and_each_item_is_a_row_of_the_log(
    api: httpx.Client, shelf: Shelf
) -> None:
    answer = api.post(PATH, json=look("r1", candidates=["film 05", "film 01", "film 03", "film 09"],
                                      n=3))
    assert films(answer) == ["film 01", "film 03", "film 05"]
    body, rows = answer.json(), logged(shelf.settings)
    assert body["prediction_id"].startswith("slate-") and body["event_id"] == "r1"
    assert answer.headers["x-model-version"] == "1" and not body["degraded"]
    assert [row.event_id for row in rows] == ["r1#1", "r1#2", "r1#3"]
    for row, item in zip(rows, body["items"], strict=True):
        assert item == {"item": item["item"], "score": row.score, "propensity": 1.0,
                        "position": int(row.event_id[-1]), "prediction_id": row.prediction_id}
        assert read_event(SHELF, row.request) == {"user": "ann", "film": item["item"], "hour": 20}
        assert row.state_seq is not None
    assert len({row.seq for row in rows}) == 3
    scores = [row.score for row in rows]
    assert scores == sorted(scores, reverse=True)


def test_plain_asgi_gives_the_same_slate(shelf: Shelf) -> None:
    with serving(shelf) as direct, serving(shelf, direct=False) as asgi:
        first = direct.post(PATH, json=look("r1"))
        assert asgi.post(PATH, json=look("r1")).json() == first.json()
        assert films(asgi.post(PATH, json=look("r2"))) == films(first)


def test_what_was_clicked_a_moment_ago_changes_the_next_page(
    api: httpx.Client, shelf: Shelf
) -> None:
    assert films(api.post(PATH, json=look())) == ["film 00", "film 01", "film 02"]
    click(api, "film 00")
    shelf.clock.set(NOON + timedelta(seconds=1))
    assert films(api.post(PATH, json=look())) == ["film 01", "film 02", "film 03"]
    assert films(api.post(PATH, json=look(user="bob")))[0] == "film 00", "others see it first"


def test_a_retry_gets_the_same_slate_whatever_has_happened_since(
    api: httpx.Client, shelf: Shelf
) -> None:
    first = api.post(PATH, json=look("r1")).json()
    click(api, first["items"][0]["item"])
    shelf.clock.set(LATER)
    shelf.deploy(2)
    assert api.post(PATH, json=look("r1")).json() == first
    assert api.post(PATH, json=look("r1", candidates=["film 11"], n=1)).json() == first
    assert len(logged(shelf.settings)) == 3
    counts = api.get("/v1/shelf/version").json()["counts"]
    assert (counts["predicted"], counts["repeated"]) == (3, 6)


def test_the_id_of_a_request_that_asked_something_else_is_refused(api: httpx.Client) -> None:
    api.post(PATH, json=look("r1"))
    changed = problem(api.post(PATH, json=look("r1", user="bob")), 409, "event_changed")
    assert "event 'r1' was answered before with another body" in changed["message"]
    assert "/v1/shelf/predictions/slate-" in changed["message"]
    later = look("r1", event_timestamp=NOON.isoformat().replace("12:", "11:"))
    problem(api.post(PATH, json=later), 409, "event_changed")


def test_retries_that_race_get_one_slate(api: httpx.Client, shelf: Shelf) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: api.post(PATH, json=look(f"r{n % 10}", n=2 + n % 3)),
                                range(80)))
    by_id: dict[str, set[str]] = {}
    for answer in answers:
        assert answer.status_code == 200, answer.text
        by_id.setdefault(answer.json()["event_id"], set()).add(answer.text)
    assert {len(texts) for texts in by_id.values()} == {1}
    rows = logged(shelf.settings)
    assert len(rows) == sum(len(httpx.Response(200, text=text).json()["items"])
                            for [text] in by_id.values())


@pytest.mark.parametrize(("body", "code", "field", "says"), [
    (look(candidates=["film 01", 3]), "unusable_item", "candidates",
     "candidates[1]: film is 3; expected a text"),
    (look(candidates=["film 01", None]), "unusable_item", "candidates", "candidates[1]"),
    (look(candidates=["film 01", ""]), "unusable_item", "candidates", "candidates[1] is empty"),
    (look(candidates=[["film 01"]]), "unusable_item", "candidates", "candidates[0]: film is"),
    (look(candidates=["x" * 41]), "unusable_item", "candidates", "at most 40"),
    (look(candidates=[]), "invalid_request", "candidates", "length >= 1"),
    (look(candidates=["film"] * 1001), "invalid_request", "candidates", "length <= 1000"),
    (look(n=0), "invalid_request", "n", ">= 1"),
    (look(n=101), "invalid_request", "n", "<= 100"),
    (look(films=3), "invalid_request", "films", "unknown field"),
    (look("r#1"), "invalid_request", "event_id", "'#'"),
    (look("r" * 200), "invalid_request", "event_id", "length <= 195"),
    ({"event": {"user": "ann", "film": "film 01", "hour": 20}}, "unusable_event", "event",
     "the event has 'film', which the answer says"),
    ({"event": {"user": "ann"}, "candidates": ["film 01"]}, "unusable_event", "event",
     "the fields are"),
    ({"event": [1], "candidates": ["film 01"]}, "unusable_event", "event", "a JSON object"),
    ({"event": {}, "candidates": ["film 01"]}, "unusable_event", "event", "the fields are"),
    ({"event": {"user": 3, "hour": 20}, "candidates": ["film 01"]}, "unusable_event", "event",
     "user is 3; expected a text"),
])
def test_what_cannot_be_ranked_is_refused_by_name(
    api: httpx.Client, shelf: Shelf, body: dict[str, Any], code: str, field: str, says: str
) -> None:
    found = problem(api.post(PATH, json=body), 422, code)
    assert says in found["message"]
    assert found["field"] == field
    assert logged(shelf.settings) == []


def test_a_row_could_not_be_taken_by_a_prediction_of_its_name(
    api: httpx.Client, shelf: Shelf
) -> None:
    alone = {"event": {"user": "ann", "film": "film 01", "hour": 20}}
    problem(api.post("/v1/shelf/predict", json={**alone, "event_id": "r1#2"}), 422,
            "invalid_request")
    assert api.post("/v1/shelf/predict", json={**alone, "event_id": "one"}).status_code == 200


def test_a_system_without_slates_has_no_such_call(shelf: Shelf) -> None:
    toy = Toy(settings=shelf.settings)
    with serving(toy, also=[]) as client:
        assert "systems that answer" not in client.post("/v1/toy/rank", json=look()).text
        problem(client.post("/v1/toy/rank", json=look()), 404, "not_found")
        assert not [path for path in client.get("/openapi.json").json()["paths"] if "rank" in path]
        assert client.get("/").json()["systems"][0]["calls"].keys() >= {"predict", "feedback"}


def test_items_are_taken_by_name_and_each_counts_once(api: httpx.Client, shelf: Shelf) -> None:
    slate = api.post(PATH, json=look("r1")).json()
    first, second, _ = slate["items"]

    def say(**said: Any) -> httpx.Response:
        return api.post("/v1/shelf/feedback", json={"source": "viewer", "label": True, **said})

    by_item = say(prediction_id=slate["prediction_id"], item=first["item"])
    assert by_item.json()["new"] and by_item.json()["label"] is True
    assert not say(prediction_id=slate["prediction_id"], item=first["item"]).json()["new"]
    assert not say(prediction_id=first["prediction_id"]).json()["new"], "it is the same row"
    assert say(prediction_id=second["prediction_id"]).json()["new"]
    with closing(EventLog(shelf.settings.event_log)) as log:
        assert [each.label for each in log.feedback.on(first["prediction_id"])] == [True]
        assert log.count("shelf") == (3, 2)
    found = problem(say(prediction_id=slate["prediction_id"], item="film 11"), 422, "not_shown")
    assert "did not show the item 'film 11'; it showed 'film 00', 'film 01'" in found["message"]
    assert found["field"] == "item"
    problem(say(prediction_id=slate["prediction_id"]), 422, "invalid_request")
    problem(say(prediction_id=first["prediction_id"], item="film 00"), 422, "invalid_request")
    problem(say(prediction_id="slate-0123", item="film 00"), 404, "not_found")


def test_a_slate_is_explained_row_by_row(api: httpx.Client) -> None:
    slate = api.post(PATH, json=look("r1")).json()
    api.post("/v1/shelf/feedback", json={
        "prediction_id": slate["prediction_id"], "item": "film 01", "label": True,
        "source": "viewer"})
    record = api.get(f"/v1/shelf/predictions/{slate['prediction_id']}").json()
    assert [each["item"] for each in record["items"]] == ["film 00", "film 01", "film 02"]
    for each, shown in zip(record["items"], slate["items"], strict=True):
        alone = api.get(f"/v1/shelf/predictions/{shown['prediction_id']}").json()
        assert each["record"] == alone
        assert alone["request"] == {"user": "ann", "hour": 20, "film": shown["item"]}
    assert [bool(each["record"]["outcomes"]) for each in record["items"]] == [False, True, False]
    problem(api.get("/v1/shelf/predictions/slate-0123"), 404, "not_found")


def test_answers_have_exactly_the_shape_that_is_described(api: httpx.Client) -> None:
    described = openapi([SHELF])
    assert api.get("/openapi.json").json() == described
    exactly(described, "ShelfPostedRanking", look("r1", n=3, event_timestamp=NOON.isoformat()))
    slate = api.post(PATH, json=look("r1")).json()
    exactly(described, "ShelfRankAnswer", slate)
    said = {"prediction_id": slate["prediction_id"], "item": "film 01", "label": True,
            "source": "viewer", "said_at": NOON.isoformat()}
    exactly(described, "ShelfFeedbackRequest", said)
    exactly(described, "ShelfFeedbackAnswer", api.post("/v1/shelf/feedback", json=said).json())
    exactly(described, "ShelfSlateRecord",
            api.get(f"/v1/shelf/predictions/{slate['prediction_id']}").json())


def test_a_token_for_predictions_opens_slates(shelf: Shelf) -> None:
    _, predict = Tokens(shelf.settings.tokens).create("a", ("predict",), (), NOON)
    _, feedback = Tokens(shelf.settings.tokens).create("b", ("feedback",), (), NOON)
    with serving(shelf) as client:
        problem(client.post(PATH, json=look()), 401, "unauthorized")
        for token, status in ((predict, 200), (feedback, 403)):
            answer = client.post(PATH, json=look(), headers={"authorization": f"Bearer {token}"})
            assert answer.status_code == status


def test_without_candidates_the_latest_nights_lists_are_ranked_and_followed(
    api: httpx.Client, shelf: Shelf
) -> None:
    none = problem(api.post(PATH, json=look(candidates=None)), 503, "not_ready")
    assert "Materialise shelf/candidates" in none["message"]
    shelf.lists({"": ["film 07", "film 05"], "ann": ["film 09", "film 08", "film 06", "film 03"]})
    assert films(api.post(PATH, json=look(candidates=None))) == ["film 03", "film 06", "film 08"]
    assert films(api.post(PATH, json=look(user="bob", candidates=None))) == ["film 05", "film 07"]
    shelf.lists({"": ["film 11"]})
    assert films(api.post(PATH, json=look(candidates=None))) == ["film 11"]


def test_without_features_the_order_is_that_of_the_night_and_says_so(
    api: httpx.Client, shelf: Shelf
) -> None:
    shelf.lists({"": ["film 07", "film 05"], "ann": ["film 04", "film 02"]})
    shelf.failure = RuntimeError("the store is on fire")
    answer = api.post(PATH, json=look(candidates=None)).json()
    assert [each["item"] for each in answer["items"]] == ["film 04", "film 02"]
    assert answer["degraded"] and answer["model_version"] == 1
    given = api.post(PATH, json=look(candidates=["film 01", "film 00", "film 02", "film 04"], n=4))
    assert films(given) == ["film 04", "film 02", "film 01", "film 00"]
    assert all(row.degraded and row.state_seq is None for row in logged(shelf.settings))


def test_without_a_model_the_order_and_the_scores_are_those_of_the_night(
    settings: Settings
) -> None:
    shelf = Shelf(settings=settings)
    with serving(shelf) as api:
        problem(api.post(PATH, json=look()), 503, "not_ready")
        shelf.lists({"": ["film 07", "film 05"]}, version=None)
        problem(api.post(PATH, json=look()), 503, "not_ready")
        shelf.lists({"": ["film 07", "film 05"]}, version=9)
        answer = api.post(PATH, json=look("r1", candidates=None)).json()
        assert [(each["item"], each["score"]) for each in answer["items"]] == [
            ("film 07", 0.5), ("film 05", 0.49)]
        assert answer["degraded"] and answer["model_version"] == 9
        assert api.post(PATH, json=look("r1", candidates=None)).json() == answer
        assert api.get(f"/v1/shelf/predictions/{answer['prediction_id']}").status_code == 200


def test_a_page_that_the_champion_fails_on_has_the_nights_order_and_no_other_does(
    settings: Settings
) -> None:
    shelf = Shelf(settings=settings, models={1: ShelfScorer(fails_on="film 66")})
    shelf.deploy(1)
    shelf.lists({"": ["film 07", "film 66", "film 05"]})
    with serving(shelf) as api, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(
            lambda n: api.post(PATH, json=look(candidates=None if n % 2 else FILMS)), range(16)))
        for n, answer in enumerate(answers):
            assert films(answer) == (["film 07", "film 66", "film 05"] if n % 2 else
                                     ["film 00", "film 01", "film 02"])
            assert answer.json()["degraded"] == bool(n % 2)


def test_one_version_answers_a_whole_slate_and_shadows_score_what_was_shown(
    shelf: Shelf
) -> None:
    shelf.models[4] = ShelfScorer(bias=-1)
    shelf.act(Canary(version=2, share=0.5))
    shelf.act(Shadow(version=4))
    with serving(shelf) as api:
        wait_until(lambda: len(api.get("/v1/shelf/version").json()["serving"]) == 3)
        versions = {}
        for n in range(20):
            user = f"user {n}"
            answer = api.post(PATH, json=look(f"r{n}", user=user)).json()
            versions[user] = answer["model_version"]
            assert api.post(PATH, json=look(user=user)).json()["model_version"] == versions[user]
        assert set(versions.values()) == {1, 2}
        wait_until(lambda: api.get("/v1/shelf/version").json()["counts"]["shadowed"] == 240)
    rows = logged(shelf.settings)
    by_slate: dict[str, set[tuple[int, str, float]]] = {}
    for row in rows:
        by_slate.setdefault(row.event_id.split("#")[0], set()).add(
            (row.model_version, row.role, row.propensity))
    assert all(len(each) == 1 for each in by_slate.values())
    assert {each for of in by_slate.values() for each in of} == {
        (1, "champion", 0.5), (2, "challenger", 0.5)}
    with closing(EventLog(shelf.settings.event_log)) as log:
        # Who has a share of the traffic scores what the others answered, too.
        assert {each.model_version for each in log.shadows.on(rows[0].prediction_id)} == (
            {1, 2, 4} - {rows[0].model_version})


def test_a_challenger_that_fails_leaves_the_page_to_the_champion(shelf: Shelf) -> None:
    shelf.models[2] = ShelfScorer(bias=1.0, fails_on="film 03")
    shelf.act(Canary(version=2, share=0.5))
    with serving(shelf) as api:
        wait_until(lambda: len(api.get("/v1/shelf/version").json()["serving"]) == 2)
        answers = [api.post(PATH, json=look(user=f"user {n}")).json() for n in range(20)]
        [refused] = api.get("/v1/shelf/version").json()["refused"]
    assert "it failed to score" in refused["reason"]
    assert {each["model_version"] for each in answers} == {1}
    assert not any(each["degraded"] for each in answers)


def test_an_exploring_page_has_the_propensities_of_its_draw(shelf: Shelf) -> None:
    target = Ranking(name="watched", item="film", user="user", page=3, explore=0.5)
    explores = replace(SHELF, target=target)
    shelf = replace(shelf, system=explores)
    with serving(shelf) as api:
        pages = [api.post(PATH, json=look(f"r{n}")).json()["items"] for n in range(40)]
    best = ["film 00", "film 01", "film 02"]
    swapped = 0
    for page in pages:
        for each, own in zip(page, best, strict=True):
            mine = each["item"] == own
            swapped += not mine
            assert each["propensity"] == pytest.approx(1 - 0.5 / 3 if mine else 0.5 / 3 / 9)
    assert 8 < swapped < 32
    assert sorted({row.propensity for row in logged(shelf.settings)}) == pytest.approx(
        [0.5 / 27, 1 - 0.5 / 3])


def test_a_prediction_of_one_pair_is_as_before(api: httpx.Client) -> None:
    alone = {"event": {"user": "ann", "film": "film 00", "hour": 20}}
    answer = api.post("/v1/shelf/predict", json=alone).json()
    [first, *_] = api.post(PATH, json=look()).json()["items"]
    assert answer["score"] == first["score"]
    assert asked()  # the toy's body, which this system refuses
    problem(api.post("/v1/shelf/predict", json=asked()), 422, "unusable_event")


def test_a_source_that_makes_columns_of_the_item_is_told_so(shelf: Shelf) -> None:
    class Deriving:
        def __init__(self) -> None:
            self.of = SHELF.source

        def parse(self, request: Any) -> Any:
            event = dict(self.of.parse(request))
            return {**event, "hour": float(len(str(event["film"])))}

        def __getattr__(self, name: str) -> Any:
            return getattr(self.of, name)

    streams = tuple(replace(each, source=Deriving()) if each.asked else each
                    for each in SHELF.streams)
    shelf = replace(shelf, system=replace(SHELF, streams=streams))
    with serving(shelf) as api:
        found = problem(api.post(PATH, json=look(candidates=["film 1", "film 001"])), 500, "failed")
    assert "the source of 'shelf' makes hour from the item" in found["message"]
    assert logged(shelf.settings) == []
