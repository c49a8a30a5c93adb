"""JSON in UTF-8, uncompressed: any other form of a body is named in its refusal."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator

import httpx
import pytest

from ml_assets.core.settings import Settings
from ml_assets.serving.contract.encoding import BOM
from tests.serving.kit import NOON, Toy, asked, problem, serving

BODIES = {
    "predict": json.dumps(asked("e1", NOON)),
    "predict/batch": json.dumps({"events": [asked("e1", NOON)]}),
    "feedback": json.dumps({"prediction_id": "p", "label": True, "source": "buyer"}),
}


@pytest.fixture(params=[True, False], ids=["direct", "plain ASGI"])
def api(settings: Settings, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    toy = Toy(settings=settings)
    toy.deploy(1)
    with serving(toy, direct=request.param) as client:
        yield client


@pytest.mark.parametrize("call", BODIES)
@pytest.mark.parametrize(("said", "written"), [
    ("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress),
    ("GZIP, br", gzip.compress), ("br", bytes), ("zstd", bytes), ("", gzip.compress),
])
def test_a_compressed_body_is_a_415_that_says_what_is_accepted(
    api: httpx.Client, call: str, said: str, written: object
) -> None:
    assert callable(written)
    headers = {"content-encoding": said} if said else {}
    answer = api.post(f"/v1/toy/{call}", content=written(BODIES[call].encode()), headers=headers)
    found = problem(answer, 415, "unsupported_encoding")
    assert "send JSON in UTF-8, uncompressed" in found["message"]
    assert (said.lower() or "gzip") in found["message"]
    assert answer.headers["accept-encoding"] == "identity"
    assert api.get("/healthz").status_code == 200


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32",
                                      "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("call", BODIES)
def test_another_encoding_than_utf8_is_named(
    api: httpx.Client, call: str, encoding: str
) -> None:
    answer = api.post(f"/v1/toy/{call}", content=BODIES[call].encode(encoding),
                      headers={"content-type": f"application/json; charset={encoding}"})
    assert encoding[:6].upper() in problem(answer, 415, "unsupported_encoding")["message"]


@pytest.mark.parametrize("headers", [
    {"content-encoding": "identity"}, {"content-encoding": ""},
    {"content-encoding": "Identity, identity"},
    {"content-type": "application/json; charset=UTF-8"},
    {"content-type": "text/plain; charset=iso-8859-1"}, {"content-type": "what is this"},
])
def test_what_changes_nothing_is_accepted(api: httpx.Client, headers: dict[str, str]) -> None:
    """RFC 8259, 11: JSON has no parameter charset, so it has no effect."""
    answer = api.post("/v1/toy/predict", content=BODIES["predict"], headers=headers)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("call", ["predict", "predict/batch"])
def test_one_byte_order_mark_is_ignored_and_a_second_is_not(
    api: httpx.Client, call: str
) -> None:
    body = BODIES[call].encode()
    without, marked = (api.post(f"/v1/toy/{call}", content=each) for each in (body, BOM + body))
    assert (without.status_code, without.content) == (200, marked.content)
    for count in (2, 3000):
        problem(api.post(f"/v1/toy/{call}", content=BOM * count + body), 422, "malformed_json")


def test_latin1_is_not_utf8_and_is_told_where(api: httpx.Client) -> None:
    body = '{"événement": 1}'.encode("latin-1")
    found = problem(api.post("/v1/toy/predict", content=body), 422, "malformed_json")
    assert "not UTF-8: at byte 2" in found["message"]
