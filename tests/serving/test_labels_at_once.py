"""A label feeds features as it becomes known, and parity knows at which position it did."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from ml_assets.core.time import DAY
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import labels_schema
from ml_assets.monitoring.parity import ParityReports
from tests.meter import METER
from tests.serving.kit import serving
from tests.whole_loop import WholeLoop, whole_loop

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeLoop]:
    with whole_loop(tmp_path_factory.mktemp("labels"), METER) as begun:
        yield begun


def reading(device: int = 77) -> dict[str, object]:
    return {"site": "site 1", "device": device, "reading": 5.0, "celsius": 10.0}


def predicted(loop: WholeLoop, api: httpx.Client, device: int = 77) -> dict[str, Any]:
    """The record of a new prediction, an hour later than what was done before."""
    loop.clock.set(loop.clock.now() + HOUR)
    answer = api.post("/v1/meter/predict", json={"event": reading(device)}).json()
    record: dict[str, Any] = api.get(f"/v1/meter/predictions/{answer['prediction_id']}").json()
    assert not record["degraded"]
    return record


def say(api: httpx.Client, about: dict[str, Any], label: bool, source: str = "tech:ann") -> None:
    api.post("/v1/meter/feedback", json={
        "prediction_id": about["prediction_id"], "label": label, "source": source,
    }).raise_for_status()


def broken(record: dict[str, Any]) -> float | None:
    """How often the device's labels said so, as the model saw it."""
    found: float | None = record["features"]["broken_30d"]
    return found


@pytest.mark.slow
def test_a_label_counts_from_the_next_prediction_on_and_parity_holds(loop: WholeLoop) -> None:
    """Whoever takes in the word: two servers write the same log. A correction is a label too; a
    repetition, a word that settles nothing and a label of another device count nothing."""
    day = loop.clock.now().date()
    with serving(loop) as api, serving(loop) as other:
        first = predicted(loop, api)
        assert not broken(first)
        say(api, first, True)
        assert broken(predicted(loop, api)) == 1.0
        say(api, first, True)
        say(api, first, True, source="passer-by")
        assert broken(predicted(loop, other)) == 1.0
        elsewhere = predicted(loop, other, 78)
        say(other, elsewhere, True)
        second = predicted(loop, api)
        assert broken(second) == 1.0
        say(other, second, True)
        say(other, first, False)
        assert broken(predicted(loop, api)) == 2.0
        assert broken(predicted(loop, other)) == 2.0
    loop.close(day)
    rows = Lake(loop.settings.lake).read("meter", "labels", labels_schema(METER), start=day,
                                         end=day + DAY)
    heard = rows[rows["basis"] == "feedback"]
    assert len(heard) == 4 and heard["log_seq"].notna().all()
    assert heard["log_seq"].is_unique
    with serving(loop) as api:
        after = predicted(loop, api)  # the day's labels were loaded, and none counts twice
        assert broken(after) == 2.0
    loop.close(day + DAY)
    for each in (day, day + DAY):
        report = ParityReports(loop.settings, METER).read(each)
        assert report is not None and report.checked and report.unexplained == 0, report
