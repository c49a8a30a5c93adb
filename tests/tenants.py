"""Two systems with nothing in common in one installation, on the real stores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from ml_assets.automation.instance import instance
from ml_assets.core.installation import claim
from ml_assets.core.settings import Settings
from ml_assets.core.time import midnight
from tests.meter import METER
from tests.whole_loop import WHOLE, WholeLoop, repository_of

TENANTS = (WHOLE, METER)


@contextmanager
def two_tenants(folder: Path) -> Iterator[tuple[WholeLoop, WholeLoop]]:
    """Purchases and meters; neither has taken in anything yet."""
    settings = Settings(var=folder / "var")
    claim(settings)
    with pytest.MonkeyPatch.context() as patch, repository_of(folder / "repository", *TENANTS):
        patch.setenv("ML_ASSETS_VAR", str(settings.var))
        patch.setenv("DAGSTER_HOME", str(settings.dagster_home))
        toys, meters = (WholeLoop(settings=settings, system=system) for system in TENANTS)
        yield toys, meters


def begin(*loops: WholeLoop) -> dg.DagsterInstance:
    """Let each take in its history and deploy a first model, all on the installation's Dagster."""
    opened = instance(loops[0].settings)
    for loop in loops:
        loop.begin(opened)
    return opened


def event_of(loop: WholeLoop, n: int) -> dict[str, Any]:
    if loop.system.name == "toy":
        return {"shop": f"shop {n % 3}", "note": f"note {n % 7}", "amount": n % 90 + 0.5}
    return {"site": f"site {n % 3}", "device": n % 4, "reading": n % 100 - 50.0,
            "celsius": n % 30 + 0.25}


def ask(loop: WholeLoop, api: httpx.Client, n: int, at: datetime) -> str:
    """Predict the n-th event, which has the same id in every system; the id of the prediction."""
    loop.clock.set(at)
    answer = api.post(f"/v1/{loop.system.name}/predict", json={
        "event_id": f"e{n}", "event_timestamp": at.isoformat(), "event": event_of(loop, n)})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["prediction_id"])


def tell(loop: WholeLoop, api: httpx.Client, prediction_id: str, label: bool) -> None:
    source = {"toy": "buyer", "meter": "tech:ann"}[loop.system.name]
    answer = api.post(f"/v1/{loop.system.name}/feedback", json={
        "prediction_id": prediction_id, "label": label, "source": source})
    assert answer.status_code == 200, answer.text


def serve_a_day(loop: WholeLoop, api: httpx.Client, day: date, count: int = 30) -> None:
    """Predictions every half hour, and a word on every other one."""
    for n in range(count):
        at = midnight(day) + n * timedelta(minutes=30)
        said = ask(loop, api, day.toordinal() * 1000 + n, at)
        if n % 2:
            tell(loop, api, said, n % 4 == 1)
