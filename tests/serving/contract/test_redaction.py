"""No client is told where things lie on the server, whatever has failed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ml_assets.cli  # noqa: F401  (with all rooms, so that all errors are known)
from ml_assets.core.errors import MlAssetsError, ModelRefused, Overloaded, TooOften
from ml_assets.core.settings import ROOT, Settings
from ml_assets.serving.answer.feedback import FeedbackIntake
from ml_assets.serving.answer.latest_scores import LatestScores
from ml_assets.serving.answer.readiness import Readiness
from ml_assets.serving.answer.served_system import ServedSystem
from ml_assets.serving.contract.decoding import RequestRefused
from ml_assets.serving.contract.redaction import hide, redacted
from ml_assets.serving.http.bodies.predictions import Predictions
from ml_assets.serving.http.responses import answer_to
from ml_assets.serving.telemetry.metrics import Metrics
from tests.places import file_of
from tests.serving.kit import Toy, asked, serving

TOLD_AS_THEY_ARE = {"EventRefused", "RequestRefused", "UnknownName", "Quarantined", "Overloaded",
                    "TooOften"}
"""Errors about a request, whose texts are made of what the client has sent."""


def all_errors(of: type[MlAssetsError] = MlAssetsError) -> Iterator[type[MlAssetsError]]:
    for each in of.__subclasses__():
        yield each
        yield from all_errors(each)


OURS = sorted({each for each in all_errors() if each.__name__ not in TOLD_AS_THEY_ARE
               and each.__module__.startswith("ml_assets")}, key=lambda each: each.__name__)


@pytest.mark.parametrize("kind", [*OURS, OSError, sqlite3.OperationalError, ZeroDivisionError])
@pytest.mark.parametrize("text", [
    "cannot read /srv/ml assets/var/event_log.sqlite: disk I/O error",
    "[Errno 2] No such file or directory: '/srv/ml assets/x y/model.pt'",
    f"the file {ROOT}/var/lake/toy/a.parquet is damaged",
    'File "/usr/lib/python3.11/json/__init__.py", line 3',
    "sqlite:////opt/x/mlflow.db and file:///opt/x/artifacts/1/model",
])
def test_no_error_of_any_kind_tells_a_path(kind: type[Exception], text: str) -> None:
    hide(Path("/srv/ml assets"))
    error = kind.__new__(kind, text)
    error.args = (text,)
    told = bytes(answer_to(error, "POST", "/v1/toy/predict").body)
    for secret in (b"/srv", b"ml assets", b"/usr", b"/opt", b"x y", str(ROOT).encode()):
        assert secret not in told


@pytest.mark.parametrize("text", [
    "See /v1/toy/predictions/abc", "/v1/toy/version needs a token with the scope admin",
    "GET / lists all calls", "a and/or b, 1/2, text/html", "there is no system 'tyo'",
    "http://localhost:8080/docs",
])
def test_what_is_no_path_stays(text: str) -> None:
    assert redacted(text) == text


@given(st.lists(st.text("abcXYZ019._-", min_size=1, max_size=8), min_size=2, max_size=6))
def test_of_a_path_the_last_part_is_left(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    for text in (f"cannot open {path}: gone", f"cannot open '{path}': gone"):
        said = redacted(text)
        assert path not in said
        assert parts[-1] in said


def test_a_long_text_is_read_in_time() -> None:
    assert redacted("'/a" * 200_000)
    assert redacted("/a " * 200_000)


@pytest.mark.parametrize("kind", [Overloaded, TooOften, RequestRefused])
def test_half_a_character_in_a_message_is_still_an_answer(kind: type[Exception]) -> None:
    error = (RequestRefused(422, "x", "a \ud800 b") if kind is RequestRefused
             else kind("a \ud800 b"))
    assert b"a ? b" in answer_to(error, "POST", "/v1/toy/predict").body


# --- a server on which things break -----------------------------------------------------------

PATHS = ("/v1/toy/version", "/readyz", "/v1/toy/scores/corner", "/v1/toy/predictions/p",
         "/v1/toy/predictions/p/rows", "/metrics", "/nowhere", "/v1/tyo/version")


def texts_of(api: httpx.Client) -> list[str]:
    """All that it says."""
    said = [api.get(path).text for path in PATHS]
    about = api.post("/v1/toy/predict", json=asked("e1")).json().get("prediction_id", "p")
    said += [api.get(f"/v1/toy/predictions/{about}{more}").text for more in ("", "/rows")]
    return [*said, *(api.post(f"/v1/toy/{call}", json=body).text for call, body in (
        ("predict", asked()), ("predict/batch", {"events": [asked(), {}]}),
        ("feedback", {"prediction_id": about, "label": True, "source": "buyer"}), ("predict", {}),
    ))]


def no_log(toy: Toy) -> None:
    file_of(toy.settings.event_log).mkdir(parents=True)


def damaged_log(toy: Toy) -> None:
    toy.settings.var.mkdir(parents=True, exist_ok=True)
    file_of(toy.settings.event_log).write_bytes(b"this is no database" * 100)


def damaged_deployments(toy: Toy) -> None:
    file_of(toy.settings.deployments).write_bytes(b"this is no database" * 100)


def refused_model(toy: Toy) -> None:
    toy.models[3] = ModelRefused(f"{toy.settings.var}/models/3/weights.bin is damaged")
    toy.deploy(3)


def broken_store(toy: Toy) -> None:
    toy.features.failure = OSError(2, "No such file", str(toy.settings.var / "registry.db"))




@pytest.mark.parametrize("harm", [
    no_log, damaged_log, damaged_deployments, refused_model, broken_store,
])
def test_a_server_on_which_things_break_tells_no_path(
    settings: Settings, harm: Callable[[Toy], None]
) -> None:
    toy = Toy(settings=settings)
    toy.deploy(1)
    harm(toy)
    with serving(toy) as api:
        for text in texts_of(api):
            assert str(settings.var) not in text
            assert str(settings.var.parent) not in text
            assert str(ROOT) not in text


@pytest.mark.parametrize("error", [OSError, ModelRefused, RuntimeError])
def test_a_handler_that_fails_tells_no_path(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    toy = Toy(settings=settings)
    toy.deploy(1)

    def fail(*_: Any) -> NoReturn:
        raise error(f"cannot read {settings.var}/lake")

    for part, name in ((LatestScores, "read"), (ServedSystem, "find"), (Metrics, "counts"),
                       (FeedbackIntake, "add"), (Predictions, "answer"),
                       (Predictions, "answer_batch"), (Readiness, "problems"),
                       (Readiness, "warnings")):
        monkeypatch.setattr(part, name, fail)
    with serving(toy) as api:
        for text in texts_of(api):
            assert str(settings.var) not in text
