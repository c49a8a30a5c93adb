"""Several versions behind one address: who is answered by whom, and what happens meanwhile."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import cycle

import httpx
import numpy as np
import pytest

from ml_assets.core.settings import Settings
from ml_assets.ingest.log.event_log import EventLog, Prediction
from ml_assets.registry.deployments import Deployment
from ml_assets.registry.rollout import Action, Canary, Promote, Rollback, Shadow
from ml_assets.registry.routing import arm
from tests.serving.answer.test_shadows import CheckedScorer
from tests.serving.kit import NOON, FakeScorer, Toy, asked, serving, wait_until

SHOPS = [f"shop {n}" for n in range(200)]


@pytest.fixture
def toy(settings: Settings) -> Toy:
    toy = Toy(settings=settings)
    toy.deploy(1)
    return toy


@pytest.fixture
def api(toy: Toy) -> Iterator[httpx.Client]:
    with serving(toy) as client:
        yield client


def logged(toy: Toy) -> list[Prediction]:
    log = EventLog(toy.settings.event_log)
    found = list(log.predictions("toy", NOON, NOON + timedelta(days=1)))
    log.close()
    return found


def shadowed(toy: Toy) -> dict[str, float]:
    """Scores by prediction; one shadow."""
    log = EventLog(toy.settings.event_log)
    found = list(log.shadows.between("toy", NOON, NOON + timedelta(days=1)))
    log.close()
    return {each.prediction_id: each.score for each in found}


def in_force(api: httpx.Client, record: Deployment) -> None:
    """Wait until the server does what the record says."""
    def follows() -> bool:
        serving = api.get("/v1/toy/version").json()["serving"]
        return {(each["version"], each["role"], each["share"]) for each in serving} == {
            (version, record.role(version), record.share(version)) for version in record.named
        }

    wait_until(follows)


def do(toy: Toy, api: httpx.Client, action: Action) -> Deployment:
    record = toy.act(action)
    in_force(api, record)
    return record


def versions(api: httpx.Client, shops: Sequence[str] = SHOPS) -> list[int]:
    return [api.post("/v1/toy/predict", json=asked(shop=shop)).json()["model_version"]
            for shop in shops]


# --- canaries -----------------------------------------------------------------------------


def test_each_shop_is_answered_by_the_version_that_its_slot_says_and_stays_with_it(
    toy: Toy, api: httpx.Client
) -> None:
    record = do(toy, api, Canary(version=2, share=0.2))
    met = versions(api)
    assert met == versions(api) == [arm(record, shop) for shop in SHOPS]
    assert 20 < met.count(2) < 60
    raised = do(toy, api, Canary(version=2, share=0.4))
    after = versions(api)
    assert after == [arm(raised, shop) for shop in SHOPS]
    assert {2} == {after[n] for n, version in enumerate(met) if version == 2}
    assert after.count(2) > met.count(2)


def test_the_log_says_in_which_role_and_how_probably_each_version_answered(
    toy: Toy, api: httpx.Client
) -> None:
    do(toy, api, Canary(version=2, share=0.25))
    do(toy, api, Canary(version=4, share=0.25))
    versions(api)
    assert Counter((p.model_version, p.role, p.propensity) for p in logged(toy)).keys() == {
        (1, "champion", 0.5), (2, "challenger", 0.25), (4, "challenger", 0.25),
    }
    one = next(p for p in logged(toy) if p.model_version == 2)
    shown = api.get(f"/v1/toy/predictions/{one.prediction_id}").json()
    assert (shown["role"], shown["propensity"]) == ("challenger", 0.25)


def test_events_of_no_known_shop_are_drawn_one_by_one(toy: Toy, api: httpx.Client) -> None:
    do(toy, api, Canary(version=2, share=0.5))
    met = versions(api, [""] * 60)
    assert set(met) == {1, 2}


def test_in_a_batch_each_event_meets_its_version_and_scores_as_alone(
    toy: Toy, api: httpx.Client
) -> None:
    record = do(toy, api, Canary(version=2, share=0.5))
    events = [asked(shop=shop, amount=float(n)) for n, shop in enumerate(SHOPS)]
    together = api.post("/v1/toy/predict/batch", json={"events": events}).json()["predictions"]
    alone = [api.post("/v1/toy/predict", json=event).json() for event in events]
    assert [one["model_version"] for one in together] == [arm(record, shop) for shop in SHOPS]
    assert [one["score"] for one in together] == [one["score"] for one in alone]


def test_a_refused_challenger_is_shown_and_its_shops_meet_the_champion(
    toy: Toy, api: httpx.Client
) -> None:
    toy.act(Canary(version=3, share=0.5))
    wait_until(lambda: api.get("/v1/toy/version").json()["refused"])
    assert set(versions(api, SHOPS[:20])) == {1}
    shown = api.get("/v1/toy/version").json()
    assert shown["deployment"]["challengers"] == [{"version": 3, "share": 0.5}]
    assert [(each["version"], each["role"]) for each in shown["refused"]] == [(3, "challenger")]
    ready = api.get("/readyz")
    assert ready.status_code == 200
    assert "version 3 was refused as challenger, 1 has its traffic" in ready.json()["warnings"][0]
    assert {p.propensity for p in logged(toy)} == {1.0}


@pytest.mark.parametrize("bug", [ZeroDivisionError("a bug"), None])
def test_a_challenger_that_fails_has_no_traffic_from_then_on_and_no_answer_fails(
    toy: Toy, api: httpx.Client, bug: Exception | None
) -> None:
    def fail() -> None:
        assert bug is not None
        raise bug

    toy.models[2] = FakeScorer(bias=float("nan")) if bug is None else CheckedScorer(before=fail)
    do(toy, api, Canary(version=2, share=0.5))
    events = [asked(shop=shop) for shop in SHOPS]
    together = api.post("/v1/toy/predict/batch", json={"events": events}).json()["predictions"]
    assert {one["model_version"] for one in together} == {1}
    assert {p.role for p in logged(toy)} == {"champion"}
    assert "version 2 was refused as challenger" in api.get("/readyz").json()["warnings"][0]
    assert "failed to score" in api.get("/v1/toy/version").json()["refused"][0]["reason"]
    # Put right, it needs a new decision, not a restart.
    toy.models[2] = FakeScorer()
    do(toy, api, Canary(version=2, share=0.4))
    assert set(versions(api)) == {1, 2}


# --- shadows ------------------------------------------------------------------------------


def test_a_shadow_scores_after_the_answer_and_answers_nothing(
    toy: Toy, api: httpx.Client
) -> None:
    """The answer is here while the shadow has not even begun to score."""
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        go_on.wait(10)

    toy.models[2] = CheckedScorer(bias=-1.0, before=wait)
    do(toy, api, Shadow(version=2))
    given = api.post("/v1/toy/predict", json=asked("e1")).json()
    assert given["model_version"] == 1
    assert begun.wait(10)
    assert shadowed(toy) == {}
    go_on.set()
    wait_until(lambda: shadowed(toy))
    logit = (12.5 + 3) / 10 + 5 / 100
    assert shadowed(toy) == {given["prediction_id"]: pytest.approx(1 / (1 + np.exp(1 - logit)))}
    assert api.post("/v1/toy/predict", json=asked("e1")).json() == given
    assert api.get("/v1/toy/version").json()["counts"]["shadowed"] == 1


def test_a_slow_shadow_scores_all_in_the_end_and_no_answer_fails(
    toy: Toy, api: httpx.Client
) -> None:
    toy.models[2] = CheckedScorer(before=lambda: time.sleep(0.02))
    do(toy, api, Shadow(version=2))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(
            lambda n: api.post("/v1/toy/predict", json=asked(f"e{n}")), range(60)
        ))
    assert {answer.status_code for answer in answers} == {200}
    wait_until(lambda: len(shadowed(toy)) == 60)
    assert set(shadowed(toy)) == {answer.json()["prediction_id"] for answer in answers}


def test_a_failing_shadow_is_shown_and_changes_no_answer(toy: Toy, api: httpx.Client) -> None:
    def fail() -> None:
        raise ZeroDivisionError("a bug")

    toy.models[2] = CheckedScorer(before=fail)
    do(toy, api, Shadow(version=2))
    assert set(versions(api, SHOPS[:20])) == {1}
    wait_until(lambda: api.get("/v1/toy/version").json()["refused"])
    assert "version 2 was refused as shadow, it scores nothing" in (
        api.get("/readyz").json()["warnings"][0]
    )
    assert shadowed(toy) == {}


def test_a_stop_scores_what_waits_for_its_shadow(toy: Toy) -> None:
    with serving(toy) as api:
        do(toy, api, Shadow(version=2))
        events = [asked(f"e{n}") for n in range(100)]
        api.post("/v1/toy/predict/batch", json={"events": events})
    assert len(shadowed(toy)) == 100


# --- swaps under load ---------------------------------------------------------------------


@dataclass(kw_only=True)
class Stream:
    """Clients that ask without a pause until told to stop."""

    api: httpx.Client
    answers: list[httpx.Response] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def ask(self, client: int) -> None:
        with httpx.Client(base_url=self.api.base_url, timeout=10) as http:
            for n in cycle(range(len(SHOPS))):
                if self.over.is_set():
                    return
                self.answers.append(http.post("/v1/toy/predict", json=asked(shop=SHOPS[n])))


CHANGES: tuple[Action, ...] = (
    Canary(version=2, share=0.1), Shadow(version=4), Canary(version=2, share=0.3),
    Promote(version=2), Canary(version=1, share=0.2), Rollback(), Rollback(),
    Canary(version=4, share=0.1), Promote(version=4, alone=True), Promote(version=1),
)


@pytest.mark.parametrize("rounds", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_swaps_under_load_drop_no_request_and_mix_no_answer(
    toy: Toy, api: httpx.Client, rounds: int
) -> None:
    """Ten changes a round, each in force before the next: every answer is wholly of one version."""
    stream = Stream(api=api)
    with ThreadPoolExecutor(3) as pool:
        clients = [pool.submit(stream.ask, n) for n in range(3)]
        for action in CHANGES * rounds:
            do(toy, api, action)
        stream.over.set()
        for client in clients:
            client.result()
    assert {answer.status_code for answer in stream.answers} == {200}
    scores = {(answer.json()["model_version"], answer.json()["score"])
              for answer in stream.answers}
    assert len(scores) == len({version for version, _ in scores}) == 3
    assert len(logged(toy)) == len(stream.answers)


def test_a_rollback_is_in_force_within_a_second(toy: Toy, api: httpx.Client) -> None:
    """Counted in looks, not seconds: the pool looks four times a second."""
    from ml_assets.serving.models.pool import POLL_SECONDS

    do(toy, api, Promote(version=2))
    assert set(versions(api, SHOPS[:5])) == {2}
    assert do(toy, api, Rollback()).version == 1
    assert set(versions(api, SHOPS[:5])) == {1}
    assert POLL_SECONDS < 0.5
