"""The object store is cut off below a live API of the profile cluster."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import monotonic

import httpx
import pytest

from ml_assets.core.profiles.own_objects import OwnObjects
from ml_assets.core.time import midnight
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.serving.models import pool
from tests.own_server import hanging, stopped
from tests.places import cluster_at, environment
from tests.serving.kit import problem, serving, wait_until
from tests.whole_loop import WholeLoop, whole_loop

pytestmark = pytest.mark.slow


def body(**more: str) -> dict[str, object]:
    return {"event": {"shop": "shop 1", "note": "note 1", "amount": 3.0}, **more}


def up(api: httpx.Client) -> float:
    """What `/metrics` says of the store."""
    [said] = [line for line in api.get("/metrics").text.splitlines()
              if line.startswith("ml_assets_objects_up ")]
    return float(said.split()[1])


def test_an_api_answers_on_without_its_store_and_a_new_host_waits_for_it(
    tmp_path: Path, postgres_url: str, objects_url: str, objects_server: OwnObjects,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the model that it has, and says that the store is away. New ones start in bounded time
    and say what they lack and why. None needs a restart afterwards."""
    monkeypatch.setattr(pool, "RETRY_SECONDS", 1.0)
    cluster = cluster_at(postgres_url, objects=objects_url)
    acknowledged: dict[str, float] = {}

    def ask(api: httpx.Client, event_id: str) -> None:
        began = monotonic()
        answer = api.post("/v1/toy/predict", json=body(event_id=event_id))
        assert answer.status_code == 200, answer.text
        assert not answer.json()["degraded"] and answer.json()["model_version"] == 1
        assert monotonic() - began < 5
        acknowledged[event_id] = answer.json()["score"]

    with whole_loop(tmp_path / "first", cluster=cluster) as first:
        for name, value in environment(first.settings).items():
            monkeypatch.setenv(name, value)
        new, newer = (WholeLoop(settings=replace(first.settings, var=tmp_path / name / "var"))
                      for name in ("new", "newer"))
        start = midnight(first.system.calendar.go_live)
        for host in (first, new, newer):
            host.clock.set(start)
        with serving(first) as api, ExitStack() as begun:
            ask(api, "before")
            assert up(api) == 1 and not api.get("/readyz").json()["warnings"]
            with hanging(objects_server):
                for n in range(20):
                    ask(api, f"hanging {n}")
                wait_until(lambda: up(api) == 0)
                ready = api.get("/readyz")
                assert ready.status_code == 200
                assert "cannot reach s3://" in ready.json()["warnings"][0]
                began = monotonic()
                late = begun.enter_context(serving(newer))
                assert late.get("/healthz").status_code == 200
                refused = late.post("/v1/toy/predict", json=body())
                assert "cannot reach s3://" in problem(refused, 503, "not_ready")["message"]
                assert monotonic() - began < 10
            wait_until(lambda: up(api) == up(late) == 1)
            wait_until(lambda: late.get("/readyz").status_code == 200, 60)
            assert not late.get("/readyz").json()["warnings"]
            ask(late, "late")
            with stopped(objects_server):
                other = begun.enter_context(serving(new))
                for n in range(20):
                    ask(api, f"stopped {n}")
                assert api.get("/readyz").status_code == 200
                ready, refused = other.get("/readyz"), other.post("/v1/toy/predict", json=body())
                assert ready.status_code == 503
                assert "the feature store cannot be read" in ready.text
                assert "version 1 of 'toy' is deployed but was refused" in ready.text
                assert "cannot reach s3://" in problem(refused, 503, "not_ready")["message"]
            wait_until(lambda: other.get("/readyz").status_code == 200, 60)
            ask(other, "after")
            ask(api, "after all")
    with closing(EventLog(first.settings.event_log)) as log:
        stored = {each.event_id: each.score for each in log.predictions(
            "toy", start, start + timedelta(days=1))}
    assert stored == acknowledged
