"""`/metrics` says what happened, in Prometheus' words."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ml_assets.core.settings import ROOT, Settings
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.positions import note_load
from ml_assets.ingest.log.served import to_us
from ml_assets.registry.rollout import Canary
from ml_assets.serving.telemetry.metrics import Requests
from tests.serving.kit import NOON, Toy, asked, serving

LABELS = ("system", "route", "status", "model_version", "role", "view", "le")


@pytest.fixture
def toy(settings: Settings) -> Toy:
    toy = Toy(settings=settings)
    toy.deploy(1)
    return toy


@pytest.fixture
def api(toy: Toy) -> Iterator[httpx.Client]:
    with serving(toy) as client:
        yield client


def metrics(api: httpx.Client) -> dict[tuple[str, ...], float]:
    """By name and the values of the labels, in the order of `LABELS`."""
    answer = api.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {(sample.name, *(sample.labels[each] for each in LABELS if each in sample.labels)):
            sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples}


def test_everything_that_happened_is_counted_where_it_belongs(
    toy: Toy, api: httpx.Client
) -> None:
    before = metrics(api)
    assert ("ml_assets_log_commit_age_seconds", "toy") not in before
    for n in range(3):
        answer = api.post("/v1/toy/predict", json=asked(f"e{n}"))
    api.post("/v1/toy/predict", json=asked("e0"))
    api.post("/v1/toy/predict", content=b"{")
    api.post("/v1/toy/predict/batch", json={"events": [asked(f"b{n}") for n in range(20)]})
    said = {"prediction_id": answer.json()["prediction_id"], "label": True, "source": "buyer"}
    api.post("/v1/toy/feedback", json=said)
    toy.features.failure = OSError("gone")
    api.post("/v1/toy/predict", json=asked("late"))
    found = metrics(api)
    assert found["ml_assets_predictions_total", "toy", "1", "champion"] == 24
    assert found["ml_assets_degraded_total", "toy", "1"] == 1
    assert found["ml_assets_repeated_total", "toy"] == 1
    assert found["ml_assets_refused_total", "toy"] == 1
    assert found["ml_assets_feedback_total", "toy"] == 1
    assert found["ml_assets_batch_size_count", "toy"] == 5
    assert found["ml_assets_batch_size_bucket", "toy", "1.0"] == 4
    assert found["ml_assets_batch_size_bucket", "toy", "32.0"] == 5
    assert found["ml_assets_batch_size_sum", "toy"] == 24
    count = "ml_assets_request_seconds_count"
    assert found[count, "toy", "predict", "200", "1"] == 5
    assert found[count, "toy", "predict", "422", ""] == 1
    assert found[count, "toy", "predict/batch", "200", ""] == 1
    assert 0 <= found["ml_assets_log_commit_age_seconds", "toy"] < 10
    assert found["ml_assets_queue_depth", "toy"] == found[("ml_assets_worker_depth",)] == 0


def test_each_version_is_counted_in_its_role(toy: Toy) -> None:
    toy.act(Canary(version=2, share=0.5))
    with serving(toy) as api:
        for n in range(60):
            api.post("/v1/toy/predict", json=asked(f"e{n}", shop=f"s{n}"))
        found = metrics(api)
    by_role = [found["ml_assets_predictions_total", "toy", *each]
               for each in (("1", "champion"), ("2", "challenger"))]
    assert sum(by_role) == 60
    assert min(by_role) > 0


def test_whatever_clients_ask_for_the_labels_stay_few() -> None:
    requests = Requests(["toy"])
    for n in range(1000):
        for path in (f"/v1/s{n}/predict", f"/v1/toy/predictions/{n}", f"/{n}", f"/v1/toy/{n}/x",
                     f"//{n}", f"{n}", f"/v1/toy/predictions/{n}/rows", "*", "/v1", "/v1/toy"):
            requests.note(path, 200, 0.001, None)
    assert {key[:2] for key in requests.seen} == {
        ("", "other"), ("toy", "record"), ("toy", "rows"), ("toy", "other")}


def test_feasts_metrics_files_change_nothing(tmp_path: Path) -> None:
    """Feast's own metrics set the library's multiprocess mode; ours do not take part in it."""
    script = (
        "from pathlib import Path; from ml_assets.core.settings import Settings\n"
        "from tests.serving.kit import Toy, asked, serving\n"
        f"toy = Toy(settings=Settings(var=Path({str(tmp_path / 'var')!r}))); toy.deploy(1)\n"
        "with serving(toy) as api:\n"
        "    api.post('/v1/toy/predict', json=asked()); print(api.get('/metrics').text)\n"
    )
    folder = tmp_path / "shared"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "PROMETHEUS_MULTIPROCESS_DIR": str(folder)},
    )
    assert 'ml_assets_predictions_total{model_version="1",role="champion",system="toy"} 1.0' \
        in done.stdout
    assert not list(folder.iterdir())


def test_features_are_as_old_as_the_labels_they_count(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml_assets.core.time import EventClock
    from ml_assets.features.manifest import load_manifest
    from ml_assets.serving.telemetry.freshness import Freshness
    from ml_assets.systems import find

    spam = find("spam")
    EventClock(settings.clock_file("spam")).set(NOON)
    assert Freshness(settings, spam).ages() == {}
    views = load_manifest(settings).service(spam).views
    with closing(EventLog(settings.event_log)) as log:
        for view in views:
            note_load(log.connection, view.name, view.definition, 0,
                      to_us(NOON - timedelta(hours=3)))
    ages = Freshness(settings, spam).ages()
    assert set(ages) == {view.name for view in views if view.table == "labels"}
    assert set(ages.values()) == {3 * 3600}
