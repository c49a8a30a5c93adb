"""Parity is exact for any number of processes that serve, feed and load one store at once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import date, timedelta
from itertools import count, islice
from time import monotonic

import dagster as dg
import httpx
import numpy as np
import pytest

from ml_assets.core.assets import keys
from ml_assets.core.settings import ROOT, Settings
from ml_assets.core.system import System
from ml_assets.features.manifest import load_manifest
from ml_assets.features.online_load import load_view
from ml_assets.ingest import assets as ingest_assets
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.resources import lake_resource
from ml_assets.monitoring import assets as monitoring_assets
from ml_assets.monitoring.parity import ParityDay, ParityReports
from ml_assets.serving import assets as serving_assets
from tests.features.recorded import record
from tests.monitoring.live_server import LIVE
from tests.places import environment
from tests.serving.test_real_stores import DAYS, NOW, Real, mail, register_a_model

pytestmark = pytest.mark.slow

TODAY = NOW.date()
CLIENTS, EACH, SENDERS = 8, 40, 3
PATIENCE = 120.0


@contextmanager
def served(settings: Settings, workers: int, *repository: str) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.monitoring.live_server", str(settings.var), str(workers),
         *repository],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
        env={**os.environ, **environment(settings)},
    )
    try:
        assert process.stdout is not None
        said = ""
        while (found := re.search(r"http://127\.0\.0\.1:\d+", said)) is None:
            line = process.stdout.readline()
            assert line, f"the server ended: {said}"
            said += line
        yield found.group()
        process.terminate()
        process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ask(url: str, client: int) -> None:
    """New connections, so that every worker gets some; few senders, so that all feed the same.

    On a busy machine a read may miss its time budget, and the store then rests for a second in
    which hundreds are answered degraded: this goes on until EACH were answered from the store.
    """
    ids, proper, ends = count(), 0, monotonic() + PATIENCE
    while proper < EACH:
        assert monotonic() < ends, f"{proper} of {next(ids)} answers were not degraded"
        with httpx.Client(base_url=f"{url}/v1/spam", timeout=30) as api:
            for n in islice(ids, 10):
                body = {"event_id": f"{client}-{n}", "event": mail(n % SENDERS)}
                answer = api.post("/predict", json=body)
                assert answer.status_code == 200, answer.text
                proper += not answer.json()["degraded"]
            said = api.post("/feedback", json={
                "prediction_id": answer.json()["prediction_id"], "label": True,
                "source": "recipient"})
            assert said.status_code == 200, said.text


def close_the_day(
    settings: Settings, system: System = LIVE, day: date = TODAY, told: Sequence[str] = ()
) -> ParityDay:
    """Today through the real assets; told: the tables of streams that only feed features."""
    streams = [name for each in told for name in (f"raw_{each}", each)]
    for build, names in ((ingest_assets.build, ["raw", "events", "labels", *streams]),
                         (serving_assets.build, ["predictions"]),
                         (monitoring_assets.build, ["parity"])):
        dg.materialize(
            build(system), selection=dg.AssetSelection.assets(*keys(system, *names)),
            resources={"settings": settings, "duckdb": lake_resource(settings, [system])},
            partition_key=day.isoformat(),
        )
    found = ParityReports(settings, system).read(day)
    assert found is not None
    return found


@pytest.mark.parametrize("workers", [2, 4])
def test_every_vector_is_recomputed_though_workers_and_a_load_raced(
    settings: Settings, workers: int
) -> None:
    real = Real(settings=settings, system=LIVE)
    record(settings, LIVE, DAYS)
    views = load_manifest(settings).service(LIVE).views
    for view in views:
        load_view(settings, view, DAYS[:-1])
    real.deploy(register_a_model(settings, settings.var / "new_model"))
    with served(settings, workers) as url, ThreadPoolExecutor(CLIENTS + 1) as pool:
        asking = [pool.submit(ask, url, client) for client in range(CLIENTS)]
        loading = pool.submit(lambda: [load_view(settings, view, DAYS).rows for view in views])
        for each in asking:
            each.result()
        assert sum(loading.result()) > 0
    with closing(EventLog(settings.event_log)) as log:
        predictions = list(log.predictions("spam", NOW, NOW + timedelta(days=1)))
    assert len(predictions) >= CLIENTS * EACH
    positions = [each.seq for each in predictions]
    assert None not in positions and len(set(positions)) == len(positions)
    behind = sum((each.seq or 0) - (each.state_seq or 0) > 1 for each in predictions)
    assert behind > 0, "none was overtaken: nothing was tried out"
    report = close_the_day(settings)
    assert report.checked == len(predictions) - sum(each.degraded for each in predictions)
    assert report.checked >= CLIENTS * EACH
    assert (report.unexplained, report.without_position) == (0, 0), report.worst
    assert report.holds
    served_ = np.array([each.features for each in predictions if not each.degraded])
    assert len(np.unique(served_, axis=0)) > EACH, "the features moved"
