"""Explanations over a real socket: they fail for nothing that is missing, and hold up nobody."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from ml_assets.core.errors import NotReady
from ml_assets.core.settings import Settings
from ml_assets.registry import origin
from ml_assets.registry.origin import Origin
from tests.serving.kit import NOON, Toy, asked, serving


@pytest.fixture
def toy(settings: Settings) -> Toy:
    toy = Toy(settings=settings)
    toy.deploy(1, reason="the first one")
    return toy


def made(version: int) -> Origin:
    return Origin(
        version=version, training_set="abc", first_day="2024-01-01", last_day="2024-01-08",
        as_of=NOON.isoformat(), feature_service="toy_returns", git_commit=None, dagster_run=None,
        mlflow_run="run",
    )


def test_without_mlflow_an_explanation_says_so_and_gives_the_rest(toy: Toy) -> None:
    """The toy installation has a log and deployments, and no registry."""
    with serving(toy) as api:
        about = api.post("/v1/toy/predict", json=asked("e1")).json()["prediction_id"]
        told = api.get(f"/v1/toy/predictions/{about}").json()
    assert told["model"]["version"] == 1
    assert "MLflow cannot be asked: it has no database" in told["model"]["problem"]
    assert told["decision_behind"] == {
        "at": "2024-01-09T12:00:00Z", "by": "test", "reason": "the first one",
    }
    assert (told["feedback"], told["outcomes"]) == ([], [])
    assert "no trusted source has spoken" in told["says"]
    assert not (toy.settings.var / "mlflow").exists()


def test_what_silence_said_is_an_outcome(toy: Toy) -> None:
    with serving(toy) as api:
        about = api.post("/v1/toy/predict", json=asked("e1")).json()["prediction_id"]
        toy.clock.set(NOON + timedelta(days=4))
        told = api.get(f"/v1/toy/predictions/{about}").json()
    assert told["outcomes"] == [
        {"known_at": "2024-01-12T12:00:00Z", "label": False, "basis": "silence"}
    ]


def test_mlflow_is_asked_once_for_a_version_and_again_where_it_could_not_answer(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for: list[int] = []
    gone = True

    def origin_of(settings: Settings, system: str, version: int) -> Origin:
        asked_for.append(version)
        if gone:
            raise NotReady("MLflow cannot be asked: it sleeps")
        return made(version)

    monkeypatch.setattr(origin, "origin_of", origin_of)
    with serving(toy) as api:
        about = api.post("/v1/toy/predict", json=asked("e1")).json()["prediction_id"]
        first = api.get(f"/v1/toy/predictions/{about}").json()["model"]
        gone = False
        later = [api.get(f"/v1/toy/predictions/{about}").json()["model"] for _ in range(3)]
    assert first["problem"] == "MLflow cannot be asked: it sleeps"
    assert [model["training_set"] for model in later] == ["abc"] * 3
    assert asked_for == [1, 1]


def test_predictions_are_answered_while_an_explanation_waits_for_mlflow(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Explanations have a thread of their own."""
    waits, goes_on = threading.Event(), threading.Event()

    def origin_of(settings: Settings, system: str, version: int) -> Origin:
        waits.set()
        assert goes_on.wait(10)
        return made(version)

    monkeypatch.setattr(origin, "origin_of", origin_of)
    with serving(toy) as api, ThreadPoolExecutor(1) as pool:
        about = api.post("/v1/toy/predict", json=asked("e1")).json()["prediction_id"]
        slow = pool.submit(api.get, f"/v1/toy/predictions/{about}")
        assert waits.wait(10)
        for n in range(20):
            assert api.post("/v1/toy/predict", json=asked(f"more{n}")).status_code == 200
        assert not slow.done()
        goes_on.set()
        assert slow.result().json()["model"]["training_set"] == "abc"
