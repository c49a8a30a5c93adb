"""The description of the API is complete and true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from starlette.routing import Route

from ml_assets.core.settings import Settings
from ml_assets.serving.composition import create_app
from ml_assets.serving.contract import health, protocol, records
from ml_assets.serving.contract.openapi import openapi
from tests.serving.kit import NOON, asked, serving
from tests.serving.tiles import ScoredToy
from tests.toy import TOY, with_stream


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return openapi([TOY])


def operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def test_every_reference_resolves_and_every_schema_is_used(described: dict[str, Any]) -> None:
    names = {f"#/components/schemas/{name}" for name in described["components"]["schemas"]}
    assert set(references(described)) == names


def test_every_call_is_described_and_every_description_is_a_call(
    described: dict[str, Any], settings: Settings
) -> None:
    documented = {(path.replace("/v1/toy/", "/v1/{system}/").replace("visits", "{stream}"),
                   method.upper())
                  for path, method, _ in operations(described)}
    routed = {
        (route.path_format, method)
        for route in create_app(settings, [TOY]).routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    pages = {("/", "GET"), ("/metrics", "GET"), ("/docs", "GET"), ("/openapi.json", "GET")}
    assert documented == routed - pages


def test_operations_have_unique_ids_summaries_and_declared_path_parameters(
    described: dict[str, Any]
) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(described)]
    assert len(set(ids)) == len(ids)
    tags = {tag["name"] for tag in described["tags"]}
    for path, _, operation in operations(described):
        assert operation["summary"]
        assert set(operation["tags"]) <= tags
        declared = {parameter["name"] for parameter in operation.get("parameters", [])}
        assert set(re.findall(r"{(\w+)}", path)) == declared
        for response in operation["responses"].values():
            assert response["description"]


def test_a_source_that_describes_its_requests_is_shown(described: dict[str, Any]) -> None:
    class Described:
        request_schema = {"type": "object", "examples": [{"amount": 3}]}  # noqa: RUF012

        def fetch(self, cache: object) -> None: ...
        def archive(self, fetched: object) -> None: ...
        def parse(self, request: object) -> None: ...

    schemas = described["components"]["schemas"]
    assert schemas["ToyEvent"]["type"] == "object"
    richer = openapi([with_stream(TOY, source=Described())])
    assert richer["components"]["schemas"]["ToyEvent"]["examples"] == [{"amount": 3}]


def test_real_answers_have_exactly_the_described_shape(settings: Settings) -> None:
    toy = ScoredToy(settings=settings)
    toy.deploy(1)

    def strictly(struct: type[msgspec.Struct], content: bytes) -> None:
        given = msgspec.json.decode(content)
        decoded = msgspec.json.decode(content, type=struct)
        assert set(given) == set(struct.__struct_fields__)
        assert msgspec.json.decode(msgspec.json.encode(decoded)) == given

    with serving(toy) as api:
        predicted = api.post("/v1/toy/predict", json=asked("e1", NOON))
        strictly(protocol.PredictAnswer, predicted.content)
        about = predicted.json()["prediction_id"]
        strictly(protocol.ScoreAnswer, api.get("/v1/toy/scores/corner").content)
        said = {"prediction_id": about, "label": True, "source": "buyer"}
        strictly(protocol.FeedbackAnswer, api.post("/v1/toy/feedback", json=said).content)
        strictly(records.PredictionRecord, api.get(f"/v1/toy/predictions/{about}").content)
        toy.features.failure = OSError("gone")
        degraded = api.post("/v1/toy/predict", json=asked("e2")).json()["prediction_id"]
        rows = api.get(f"/v1/toy/predictions/{degraded}/rows")
        strictly(records.ContributingRows, rows.content)
        strictly(health.VersionAnswer, api.get("/v1/toy/version").content)
        strictly(health.ReadyAnswer, api.get("/readyz").content)
        strictly(health.LiveAnswer, api.get("/healthz").content)
        strictly(protocol.ProblemAnswer, api.get("/v1/toy/predictions/none").content)
        served = api.get("/openapi.json").json()
        assert served == openapi([toy.system])
