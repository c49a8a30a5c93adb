"""Broken versions over a real socket: they leave by themselves, at once, and no request fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.ingest.log.event_log import EventLog, Prediction
from ml_assets.registry.deployments import Deployment
from ml_assets.registry.rollout import Canary, Promote, Shadow
from ml_assets.serving.composition import served_system
from tests.serving.kit import NOON, FakeScorer, Toy, asked, serving, wait_until
from tests.serving.shelf import PATH, SHELF, Shelf, ShelfScorer, look
from tests.toy import TOY

Outputs = npt.NDArray[np.float64]
SYSTEMS = ("toy", "shelf")


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A scorer whose outputs something happens to."""

    sound: Any
    happens: Callable[[Outputs], Outputs]

    def outputs(
        self, texts: Mapping[str, Sequence[str]], dense: npt.NDArray[np.float32]
    ) -> Outputs:
        return self.happens(self.sound.outputs(texts, dense))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sound, name)


def fails(outputs: Outputs) -> Outputs:
    raise ZeroDivisionError("a bug")


def sleeps(outputs: Outputs) -> Outputs:
    time.sleep(0.03)
    return outputs


def forgets(outputs: Outputs) -> Outputs:
    return outputs * (1 - 0.001 * len(outputs))


FAULTS: dict[str, tuple[Callable[[Outputs], Outputs], str]] = {
    "failing": (fails, "failures"),
    "NaN": (lambda outputs: np.full_like(outputs, np.nan), "outputs"),
    "infinite": (lambda outputs: np.full_like(outputs, np.inf), "outputs"),
    "constant": (lambda outputs: np.full_like(outputs, 0.25), "constant_after"),
    "slow": (sleeps, "slow_ms"),
    "upside down": (lambda outputs: 1 - outputs, "changed"),
}


def made(name: str, settings: Settings) -> Toy:
    """One of the two systems, with a sound champion; time goes on in it."""
    if name == "toy":
        toy = Toy(settings=settings, models={1: FakeScorer(bias=-6.0)})
    else:
        toy = Shelf(settings=settings)
    toy.clock.start()
    toy.deploy(1)
    return toy


def body(name: str, n: int) -> dict[str, Any]:
    if name == "toy":
        return asked(shop=f"shop {n % 50}", amount=float(n * 37 % 120))
    return look(user=f"user {n % 50}", candidates=[f"film {n * place % 97:02}"
                                                   for place in range(1, 5)])


PATHS = {"toy": "/v1/toy/predict", "shelf": PATH}


@dataclass(kw_only=True)
class Load:
    """Clients that ask without a pause; answers are (when, status, version)."""

    api: httpx.Client
    name: str
    answers: list[tuple[float, int, int]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def ask(self, client: int) -> None:
        with httpx.Client(base_url=self.api.base_url, timeout=10) as http:
            n = client * 1_000_000
            while not self.over.wait(0.002):
                n += 1
                answer = http.post(PATHS[self.name], json=body(self.name, n))
                version = answer.json().get("model_version", 0)
                self.answers.append((time.monotonic(), answer.status_code, version))


@contextmanager
def load(api: httpx.Client, name: str, clients: int = 3) -> Iterator[Load]:
    running = Load(api=api, name=name)
    threads = [threading.Thread(target=running.ask, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield running
    finally:
        running.over.set()
        for thread in threads:
            thread.join()


def taken_out(toy: Toy, version: int) -> Deployment | None:
    """The record with which a guardrail took the version out."""
    name = toy.system.name
    return next((each for each in toy.deployments.history(name)
                 if each.by.startswith("guardrail") and each.about == version), None)


def logged(toy: Toy) -> list[Prediction]:
    with closing(EventLog(toy.settings.event_log)) as log:
        return list(log.predictions(toy.system.name, NOON, NOON + timedelta(days=1)))


def sound(name: str) -> Any:
    """A version that is a little different from the champion."""
    return FakeScorer(bias=-5.8) if name == "toy" else ShelfScorer(bias=0.1)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_broken_shadow_leaves_before_it_answers_anybody(
    name: str, fault: str, settings: Settings
) -> None:
    happens, guardrail = FAULTS[fault]
    toy = made(name, settings)
    toy.models[2] = Broken(sound=sound(name), happens=happens)  # type: ignore[assignment]
    toy.act(Shadow(version=2))
    with serving(toy) as api, load(api, name) as running:
        wait_until(lambda: taken_out(toy, 2), 60)
        record = taken_out(toy, 2)
        wait_until(lambda: api.get(f"/v1/{name}/version").json()["deployment"]["shadows"] == [])
        metrics = api.get("/metrics").text
    assert record is not None and record.by == f"guardrail {guardrail}"
    assert f"version 2 breaches `{guardrail}`" in record.reason
    assert {status for _, status, _ in running.answers} == {200}
    assert {version for *_, version in running.answers} == {1}
    assert (f'ml_assets_guardrail_breaches_total{{guardrail="{guardrail}",model_version="2",'
            f'system="{name}"}} 1.0') in metrics


@pytest.mark.parametrize("fault", ["failing", "NaN", "slow", "upside down"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_broken_canary_is_out_of_traffic_a_second_after_the_record_and_no_request_fails(
    name: str, fault: str, settings: Settings
) -> None:
    happens, guardrail = FAULTS[fault]
    toy = made(name, settings)
    toy.models[2] = Broken(sound=sound(name), happens=happens)  # type: ignore[assignment]
    with serving(toy) as api, load(api, name) as running:
        wait_until(lambda: len(running.answers) > 20, 60)
        toy.act(Canary(version=2, share=0.5))
        wait_until(lambda: taken_out(toy, 2), 60)
        decided = time.monotonic()
        time.sleep(1.5)
    record = taken_out(toy, 2)
    assert record is not None and record.by == f"guardrail {guardrail}"
    assert {status for _, status, _ in running.answers} == {200}
    assert max([at for at, _, version in running.answers if version == 2],
               default=decided) < decided + 1
    assert max(at for at, *_ in running.answers) > decided + 1
    # Whatever was served is logged, by who served it.
    rows = logged(toy)
    assert {row.model_version for row in rows} == {version for *_, version in running.answers}
    assert len({row.event_id.split("#")[0] for row in rows}) == len(running.answers)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_new_champion_that_fails_makes_way_for_its_predecessor_who_answers_meanwhile(
    name: str, settings: Settings
) -> None:
    toy = made(name, settings)
    toy.models[2] = Broken(sound=sound(name), happens=fails)  # type: ignore[assignment]
    with serving(toy) as api, load(api, name) as running:
        wait_until(lambda: len(running.answers) > 20, 60)
        toy.act(Promote(version=2, watched=True))
        wait_until(lambda: taken_out(toy, 2), 60)
        asked_by = len(running.answers)
        wait_until(lambda: len(running.answers) > asked_by + 20, 60)
    record = taken_out(toy, 2)
    assert record is not None and (record.version, record.shadows) == (1, ())
    assert {(status, version) for _, status, version in running.answers} == {(200, 1)}


def test_what_the_store_does_to_all_versions_takes_nobody_out(settings: Settings) -> None:
    toy = made("toy", settings)
    toy.models[2] = sound("toy")
    toy.act(Canary(version=2, share=0.5))
    toy.features.failure = OSError("the store is down")
    with serving(toy) as api, load(api, "toy") as running:
        wait_until(lambda: len(running.answers) > 200, 60)
        toy.features.failure = None
        wait_until(lambda: len(running.answers) > 400, 60)
    assert {status for _, status, _ in running.answers} == {200}
    assert {version for *_, version in running.answers} == {1, 2}
    assert taken_out(toy, 2) is None
    assert any(row.degraded for row in logged(toy))


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_sound_version_stays(name: str, settings: Settings) -> None:
    toy = made(name, settings)
    toy.models[2] = sound(name)
    toy.act(Canary(version=2, share=0.5))
    toy.models[4] = sound(name)
    toy.act(Shadow(version=4))
    with serving(toy) as api, load(api, name) as running:
        wait_until(lambda: len(running.answers) > 300, 60)
    assert toy.deployments.history(name)[-1].named == (1, 2, 4)
    assert {status for _, status, _ in running.answers} == {200}


def test_a_version_whose_answer_depends_on_what_it_is_scored_with_leaves(
    settings: Settings
) -> None:
    toy = made("toy", settings)
    toy.models[2] = Broken(sound=sound("toy"), happens=forgets)  # type: ignore[assignment]
    toy.act(Canary(version=2, share=0.5))
    with serving(toy) as api:
        for start in range(0, 100_000, 100):
            api.post("/v1/toy/predict/batch", json={
                "events": [body("toy", start + n) for n in range(100)]})
            if (record := taken_out(toy, 2)) is not None:
                break
    assert record is not None and record.by == "guardrail parity"


@pytest.mark.parametrize(("fault", "leaves"), [
    ("failing", True), ("NaN", True), ("constant", True), ("upside down", True), ("slow", False)])
@pytest.mark.parametrize("name", SYSTEMS)
def test_in_a_replay_broken_versions_leave_when_it_looks_and_slow_ones_stay(
    name: str, fault: str, leaves: bool, settings: Settings
) -> None:
    """No real time passes in it: how long something takes there is the machine's own affair."""
    happens, guardrail = FAULTS[fault]
    toy = made(name, settings)
    toy.clock.set(NOON)
    toy.models[2] = Broken(sound=sound(name), happens=happens)  # type: ignore[assignment]
    toy.act(Shadow(version=2))
    with serving(toy) as api:
        wait_until(lambda: len(api.get(f"/v1/{name}/version").json()["serving"]) == 2)
        for n in range(12 if fault == "slow" else 70):
            assert api.post(PATHS[name], json=body(name, n)).status_code == 200
        wait_until(lambda: api.get(f"/v1/{name}/version").json()["counts"]["shadow_waiting"] == 0)
        time.sleep(0.25)
        assert taken_out(toy, 2) is None, "nobody has asked"
        toy.clock.set(NOON + timedelta(hours=1))
        shown = api.post(f"/v1/{name}/guardrails").json()
    record = taken_out(toy, 2)
    assert (record is not None) == leaves
    assert (shown["deployment"]["shadows"] == []) == leaves
    if record is not None:
        assert (record.by, record.at) == (f"guardrail {guardrail}", NOON + timedelta(hours=1))


def rare(outputs: Outputs) -> Outputs:
    return outputs / 10_000


def less_rare(outputs: Outputs) -> Outputs:
    return outputs / 50


def all_high(outputs: Outputs) -> Outputs:
    return 0.9 + outputs / 50


@pytest.mark.parametrize(("name", "happens"), [
    ("toy", less_rare), ("shelf", less_rare), ("shelf", all_high)])
def test_what_changes_no_answer_takes_nobody_out(
    name: str, happens: Callable[[Outputs], Outputs], settings: Settings
) -> None:
    """Small probabilities of what is rare are small for both; of a slate only the order counts."""
    toy = made(name, settings)
    toy.clock.set(NOON)
    toy.models[1] = Broken(sound=toy.models[1], happens=rare)  # type: ignore[assignment]
    toy.models[2] = Broken(sound=sound(name), happens=happens)  # type: ignore[assignment]
    toy.act(Shadow(version=2))
    with serving(toy) as api:
        wait_until(lambda: len(api.get(f"/v1/{name}/version").json()["serving"]) == 2)
        for n in range(150):
            assert api.post(PATHS[name], json=body(name, n)).status_code == 200
        wait_until(lambda: api.get(f"/v1/{name}/version").json()["counts"]["shadow_waiting"] == 0)
        counts = api.get(f"/v1/{name}/version").json()["counts"]
        toy.clock.set(NOON + timedelta(hours=1))
        shown = api.post(f"/v1/{name}/guardrails").json()
    assert counts["shadowed"] > 100 and taken_out(toy, 2) is None
    assert shown["deployment"]["shadows"] == [2]


@pytest.mark.parametrize("system", [TOY, SHELF], ids=lambda system: system.name)
def test_a_system_without_guardrails_is_not_watched(system: System, settings: Settings) -> None:
    toy = made(system.name, settings)
    toy.system = replace(system, rollout=replace(system.rollout, guardrails=None))
    toy.models[2] = Broken(sound=sound(system.name), happens=sleeps)  # type: ignore[assignment]
    toy.act(Shadow(version=2))
    with serving(toy) as api, load(api, system.name) as running:
        wait_until(lambda: len(running.answers) > 40, 60)
    assert taken_out(toy, 2) is None


def test_of_two_processes_that_see_the_same_one_writes_the_record(settings: Settings) -> None:
    from ml_assets.core.runtime.sparse_log import SparseLog
    from ml_assets.ingest.log.storage.patience import Patience

    toy = made("toy", settings)
    toy.models[2] = sound("toy")
    toy.act(Canary(version=2, share=0.5))
    both = [served_system(toy.system, settings, toy.backends(), SparseLog(), Patience(2), 2)
            for _ in range(2)]
    for each in both:
        each.models.refresh()
        each.watcher.look()
        lineup = each.models.lineup
        assert lineup is not None
        for _ in range(3):
            each.guard.failed(lineup, 2, ZeroDivisionError("a bug"))
    meeting = threading.Barrier(2)

    def act(each: Any) -> None:
        meeting.wait()
        each.watcher.look()

    threads = [threading.Thread(target=act, args=(each,)) for each in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in both:
        each.watcher.look()
        assert each.models.lineup is not None and list(each.models.lineup.models) == [1]
        each.close()
    assert [record.action for record in toy.deployments.history("toy")] == [
        "promote", "canary", "withdraw"]
    assert sum(sum(each.guard.breaches.values()) for each in both) == 1
