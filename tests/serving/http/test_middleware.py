"""Ids, limits and logs: what surrounds every request."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from ml_assets.core.errors import DeclarationError
from ml_assets.core.settings import ROOT, Settings
from ml_assets.registry.rollout import Canary
from ml_assets.serving.answer.intake.admission import MAX_DEPTH
from ml_assets.serving.http import middleware
from ml_assets.serving.telemetry.logs import REQUEST_ID, HumanLines, JsonLines
from tests.serving.kit import Toy, asked, problem, serving
from tests.toy import TOY, ToySource, with_stream


@pytest.fixture
def toy(settings: Settings) -> Toy:
    toy = Toy(settings=settings)
    toy.deploy(1)
    return toy


@pytest.fixture
def api(toy: Toy) -> Iterator[httpx.Client]:
    with serving(toy) as client:
        yield client


# --- ids ----------------------------------------------------------------------------------


def test_every_answer_has_the_callers_id_or_a_new_one(api: httpx.Client) -> None:
    for path in ("/", "/healthz", "/v1/toy/version", "/v1/none/version", "/nowhere"):
        given = api.get(path, headers={"x-request-id": "order-7.a_B"})
        assert given.headers["x-request-id"] == "order-7.a_B"
    made = {api.get("/healthz").headers["x-request-id"] for _ in range(20)}
    assert len(made) == 20


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "a\tb", "ä", "<script>"])
def test_an_id_that_is_not_sane_is_replaced(api: httpx.Client, given: str) -> None:
    answer = api.get("/healthz", headers={b"x-request-id": given.encode()})
    assert answer.headers["x-request-id"] != given
    assert answer.headers["x-request-id"].isalnum()


def test_the_answer_says_which_version_answered(api: httpx.Client) -> None:
    assert api.post("/v1/toy/predict", json=asked()).headers["x-model-version"] == "1"


# --- limits -------------------------------------------------------------------------------


def nested(depth: int) -> bytes:
    """A request whose event is `depth` deep, the event itself included."""
    inner = b"[" * (depth - 1) + b"]" * (depth - 1)
    return b'{"event": {"amount": 1, "shop": "s", "note": "n", "more": ' + inner + b"}}"


def test_an_event_may_be_nested_so_deep_and_no_deeper(api: httpx.Client) -> None:
    assert api.post("/v1/toy/predict", content=nested(MAX_DEPTH)).status_code == 200
    answer = api.post("/v1/toy/predict", content=nested(MAX_DEPTH + 1))
    assert "nested more than 64 deep" in problem(answer, 422, "unusable_event")["message"]
    for depth in (500, 900, 990, 1_000, 5_000, 100_000, 1_000_000):
        assert api.post("/v1/toy/predict", content=nested(depth)).status_code == 422
    assert api.get("/readyz").json()["ready"]


def test_brackets_in_a_text_are_no_nesting(api: httpx.Client) -> None:
    assert api.post("/v1/toy/predict", json=asked(note="[{" * 300)).status_code == 200


@pytest.mark.parametrize("number", [
    b"1e999", b"-1e999", b"9" * 400, b"9" * 5_000, b"1e-999", b"1E400000000", b"NaN", b"Infinity",
    b"0x10", b"01", b"1_000",
])
def test_numbers_beyond_all_measure_are_answered_in_words(
    api: httpx.Client, number: bytes
) -> None:
    body = b'{"event": {"shop": "s", "note": "n", "amount": ' + number + b"}}"
    answer = api.post("/v1/toy/predict", content=body)
    assert answer.status_code in (200, 422), answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("number", [b"1e999", b"1e308", b"3.5e38", b"9" * 400])
def test_a_number_that_no_feature_can_be_is_refused_and_takes_nobody_out_of_traffic(
    toy: Toy, number: bytes
) -> None:
    """Its score would be no probability, and the challenger would be taken for broken."""
    toy.act(Canary(version=2, share=0.5))
    with serving(toy) as api:
        for n in range(20):
            body = b'{"event": {"shop": "s%d", "note": "n", "amount": %s}}' % (n, number)
            problem(api.post("/v1/toy/predict", content=body), 422, "unusable_event")
        assert len(api.get("/v1/toy/version").json()["serving"]) == 2
        assert api.post("/v1/toy/predict", json=asked(amount=3.4e38)).status_code == 200


def test_many_fields_and_long_texts_are_held_by_the_size_of_the_body(api: httpx.Client) -> None:
    many = {"event": {**{f"f{n}": n for n in range(100_000)}, "amount": 1}}
    assert api.post("/v1/toy/predict", json=many).status_code == 200
    long = asked(note="x" * (9 * 2**20))
    problem(api.post("/v1/toy/predict", json=long), 413, "body_too_large")
    problem(api.post("/v1/toy/predict", json={**asked(), "event_id": "x" * 10_000}), 422,
            "invalid_request")
    keys = b'{"event": {"amount": 1}, "' + b"k" * 1_000_000 + b'": 1}'
    problem(api.post("/v1/toy/predict", content=keys), 422, "invalid_request")


# --- logs ---------------------------------------------------------------------------------


def written(formatter: logging.Formatter, message: str, **extra: object) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    handler.handle(logging.makeLogRecord(
        {"name": "ml_assets.x", "levelno": 30, "levelname": "WARNING", "msg": message, **extra}))
    return stream.getvalue()


def test_a_line_is_one_line_whatever_a_client_sent() -> None:
    hostile = "a\nERROR root: all is lost\r\u2028\x1b[31m \udc80"
    assert written(HumanLines(), hostile.replace("\udc80", "")).count("\n") == 1
    line, end = written(JsonLines(), hostile).split("\n")
    assert end == ""
    assert json.loads(line)["message"].startswith("a\nERROR root")


def test_a_json_line_has_what_is_known_of_the_request() -> None:
    token = REQUEST_ID.set("r1")
    try:
        line = json.loads(written(JsonLines(), "slow", about={"system": "toy", "status": 200}))
        assert "[request r1]" in written(HumanLines(), "slow")
    finally:
        REQUEST_ID.reset(token)
    assert list(line) == ["time", "level", "logger", "message", "request_id", "system", "status"]
    assert (line["request_id"], line["level"]) == ("r1", "warning")


def test_a_bug_is_logged_with_the_id_that_the_client_reads(
    toy: Toy, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(ToySource):
        def parse(self, request: object) -> dict[str, object]:
            raise ZeroDivisionError("a bug of the source")

    toy.system = with_stream(TOY, source=Broken())
    with serving(toy) as api:
        answer = api.post("/v1/toy/predict", json=asked(), headers={"x-request-id": "r9"})
    assert answer.headers["x-request-id"] == "r9"
    assert "source" not in answer.text
    [line] = [record for record in caplog.records if record.name == middleware.__name__]
    about = vars(line)["about"]
    assert about.pop("latency_ms") > 0
    assert about == {"method": "POST", "path": "/v1/toy/predict", "system": "toy", "status": 500,
                     "model_version": None}


def test_only_failures_are_logged_not_every_request(
    api: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "ml_assets")
    api.post("/v1/toy/predict", json=asked())
    api.get("/nowhere")
    assert not [record for record in caplog.records if record.name == middleware.__name__]


def test_the_server_writes_json_lines_where_it_is_told_to(settings: Settings) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.serving.toy_server", str(settings.var), "0"], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
        env={**os.environ, "ML_ASSETS_LOG": "json"},
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[4].rstrip(",")
        httpx.post(f"{url}/v1/toy/predict", content=b"{", headers={"x-request-id": "r3"})
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    lines = [json.loads(line) for line in said.splitlines()]
    assert any("refused since the start" in line["message"] for line in lines), said


def test_an_unknown_form_of_log_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_LOG", "xml")
    with pytest.raises(DeclarationError, match="expected human or json"):
        Settings.from_environment()
