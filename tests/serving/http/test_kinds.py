"""Every kind of target over a real socket: typed answers, typed feedback, exactly as described."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest

from ml_assets.core.settings import Settings
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.serving.contract.openapi import openapi
from tests.serving.kinds import DAY, KINDS, Kind
from tests.serving.kit import LATER, NOON, Toy, asked, problem, serving


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def toy(kind: Kind, settings: Settings) -> Toy:
    return kind.toy(settings)


@pytest.fixture
def api(toy: Toy) -> Iterator[httpx.Client]:
    with serving(toy) as client:
        yield client


def exactly(described: dict[str, Any], name: str, value: Any) -> None:
    """`value` is an instance of the schema, and has no property that it does not describe."""
    jsonschema.Draft202012Validator({
        "$ref": f"#/components/schemas/{name}", "components": described["components"],
    }).validate(value)
    _described(described, {"$ref": f"#/components/schemas/{name}"}, value)


def _described(described: dict[str, Any], schema: Any, value: Any) -> None:
    if "$ref" in schema:
        schema = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if isinstance(value, list):
        for each in value:
            _described(described, schema.get("items", {}), each)
    elif isinstance(value, dict) and "properties" in schema:
        assert set(value) == set(schema["properties"])
        for name, each in value.items():
            _described(described, schema["properties"][name], each)


def test_answers_have_exactly_the_shape_that_is_described_for_their_target(
    kind: Kind, toy: Toy, api: httpx.Client
) -> None:
    described = openapi([kind.system])
    assert api.get("/openapi.json").json() == described
    answer = api.post("/v1/toy/predict", json=asked("e1", NOON)).json()
    exactly(described, "ToyPredictAnswer", answer)
    batch = api.post("/v1/toy/predict/batch",
                     json={"events": [asked("e1", NOON), asked("e2", NOON, amount=3)]}).json()
    assert batch["predictions"][0] == answer
    for each in batch["predictions"]:
        exactly(described, "ToyPredictAnswer", each)
    latest = api.get("/v1/toy/scores/corner").json()
    exactly(described, "ToyScoreAnswer", latest)
    said = batch["predictions"][1]
    assert (latest["event_id"], latest["score"], latest["decision"]) == (
        "e2", said["score"], said["decision"])
    said = {"prediction_id": answer["prediction_id"], "label": kind.labels[0], "source": "buyer",
            "said_at": NOON.isoformat()}
    exactly(described, "ToyFeedbackRequest", said)
    exactly(described, "ToyFeedbackAnswer", api.post("/v1/toy/feedback", json=said).json())
    record = api.get(f"/v1/toy/predictions/{answer['prediction_id']}").json()
    exactly(described, "ToyPredictionRecord", record)
    assert (record["score"], record["decision"]) == (answer["score"], answer["decision"])
    assert record["answer"] == {name: answer[name] for name in kind.system.target.answer_schema}


def test_what_is_described_is_no_looser_than_the_door(kind: Kind) -> None:
    """A label that the API refuses is no instance of the described request."""
    for value, _ in kind.wrong.values():
        with pytest.raises(jsonschema.ValidationError):
            exactly(openapi([kind.system]), "ToyFeedbackRequest",
                    {"prediction_id": "p", "label": value, "source": "buyer"})


def test_the_log_gives_back_what_was_answered(kind: Kind, toy: Toy, api: httpx.Client) -> None:
    """A repetition has the same answer, all its numbers too, also from another process."""
    first = api.post("/v1/toy/predict", json=asked("e1", NOON)).json()
    assert api.post("/v1/toy/predict", json=asked("e1", NOON)).json() == first
    log, target = EventLog(toy.settings.event_log), kind.system.target
    logged = log.answer_to("toy", "e1")
    log.close()
    assert logged is not None
    assert (type(logged.decision), logged.decision) == (type(kind.labels[0]), first["decision"])
    assert len(logged.outputs) == (0 if len(target.outputs) == 1 else len(target.outputs))
    assert target.answer(logged.outputs or (logged.score,)) == {
        name: first[name] for name in target.answer_schema}


def test_labels_keep_their_type_from_the_door_to_the_explanation(
    kind: Kind, toy: Toy, api: httpx.Client
) -> None:
    about = api.post("/v1/toy/predict", json=asked("e1", NOON)).json()["prediction_id"]
    for minutes, label in enumerate(kind.labels):
        toy.clock.set(LATER.replace(minute=minutes))
        said = {"prediction_id": about, "label": label, "source": "buyer"}
        answer = api.post("/v1/toy/feedback", json=said).json()
        assert (type(answer["label"]), answer["label"]) == (type(label), label)
        assert api.post("/v1/toy/feedback", json=said).json()["new"] is False
    record = api.get(f"/v1/toy/predictions/{about}").json()
    assert [each["label"] for each in record["feedback"]] == list(kind.labels)
    assert [each["label"] for each in record["outcomes"]] == list(kind.labels)


def test_silence_speaks_as_the_truth_declares(kind: Kind, toy: Toy, api: httpx.Client) -> None:
    answer = api.post("/v1/toy/predict", json=asked("e1", NOON)).json()
    toy.clock.set(NOON + kind.system.truth.maturity + DAY)
    outcomes = api.get(f"/v1/toy/predictions/{answer['prediction_id']}").json()["outcomes"]
    expected = kind.system.truth.of_silence(answer["decision"])
    assert [each["label"] for each in outcomes] == ([] if expected is None else [expected])


def test_a_label_of_another_type_is_refused_with_what_is_expected(
    kind: Kind, api: httpx.Client
) -> None:
    """And nothing is stored."""
    about = api.post("/v1/toy/predict", json=asked("e1", NOON)).json()["prediction_id"]
    for value, says in kind.wrong.values():
        refused = api.post("/v1/toy/feedback",
                           json={"prediction_id": about, "label": value, "source": "buyer"})
        found = problem(refused, 422, "invalid_request")
        assert found["field"] == "label" and says in found["message"]
        assert found["message"].startswith(f"label: {kind.system.target.name} is ")
    assert api.get(f"/v1/toy/predictions/{about}").json()["feedback"] == []
