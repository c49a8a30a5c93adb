"""Requests that wait together are one batch; each gets what it would have got alone."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import httpx
import numpy as np
import numpy.typing as npt
import pytest

from ml_assets.core.errors import LogUnavailable, Overloaded
from ml_assets.core.settings import Settings
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.serving import composition
from ml_assets.serving.batching import executor as calls
from ml_assets.serving.batching import loop_budget as pace
from ml_assets.serving.batching.micro_batches import LARGEST_BATCH, MicroBatches
from ml_assets.serving.telemetry.logs import REQUEST_ID
from tests.places import file_of
from tests.serving.kit import FakeFeatures, FakeScorer, Toy, asked, problem, serving, wait_until

# --- turns of an event loop -----------------------------------------------------------------


@dataclass(kw_only=True)
class Runner:
    """Answers each number with its double, and holds a batch while its gate is shut."""

    batches: list[list[int]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def __call__(self, asked: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(asked))
        await self.gate.wait()
        return [ValueError(f"{each} is odd") if each % 2 else each * 2 for each in asked]


async def turn() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_what_is_asked_in_one_turn_is_one_batch_and_each_gets_its_own_answer() -> None:
    async def go() -> None:
        runner = Runner()
        turns = MicroBatches(runner)
        answers = await asyncio.gather(*map(turns.ask, range(4)), return_exceptions=True)
        assert runner.batches == [[0, 1, 2, 3]]
        assert list(map(str, answers)) == ["0", "1 is odd", "4", "3 is odd"]

    asyncio.run(go())


def test_a_request_that_comes_alone_goes_alone_and_later_ones_are_the_next_batch() -> None:
    async def go() -> None:
        runner = Runner()
        turns = MicroBatches(runner)
        runner.gate.clear()
        first = asyncio.create_task(turns.ask(0))
        await turn()
        later = [asyncio.create_task(turns.ask(n)) for n in (2, 4, 6)]
        await turn()
        assert runner.batches == [[0]]
        assert len(turns) == 3
        runner.gate.set()
        assert await asyncio.gather(first, *later) == [0, 4, 8, 12]
        assert runner.batches == [[0], [2, 4, 6]]
        assert len(turns) == 0

    asyncio.run(go())


def test_batches_have_a_limit_and_keep_the_order() -> None:
    async def go() -> None:
        runner = Runner()
        turns = MicroBatches(runner)
        await asyncio.gather(*map(turns.ask, range(0, 2 * LARGEST_BATCH + 20, 2)))
        assert [len(batch) for batch in runner.batches] == [LARGEST_BATCH, 10]
        assert [n for batch in runner.batches for n in batch] == list(range(0, 532, 2))

    asyncio.run(go())


def test_beyond_the_longest_queue_a_request_is_refused_at_once_and_the_others_are_answered(
) -> None:
    async def go() -> None:
        runner = Runner()
        turns = MicroBatches(runner, longest_queue=3)
        runner.gate.clear()
        first = asyncio.create_task(turns.ask(0))
        await turn()
        waiting = [asyncio.create_task(turns.ask(2)) for _ in range(3)]
        await turn()
        with pytest.raises(Overloaded, match="3 requests wait already"):
            await turns.ask(8)
        runner.gate.set()
        assert await asyncio.gather(first, *waiting) == [0, 4, 4, 4]
        assert await turns.ask(8) == 16

    asyncio.run(go())


def test_what_the_batch_raises_all_of_it_get_and_the_next_one_is_answered() -> None:
    async def go() -> None:
        failing = True

        async def run(asked: Sequence[int]) -> list[int | Exception]:
            if failing:
                raise LogUnavailable("the disk is full")
            return list(asked)

        turns = MicroBatches(run)
        answers = await asyncio.gather(turns.ask(1), turns.ask(2), return_exceptions=True)
        assert [type(answer) for answer in answers] == [LogUnavailable, LogUnavailable]
        failing = False
        assert await turns.ask(3) == 3

    asyncio.run(go())


def test_an_error_that_no_future_can_hold_still_reaches_who_asked() -> None:
    """A stray `next()` in a model must not leave a batch without answers."""
    async def go() -> None:
        async def run(asked: Sequence[int]) -> list[int | Exception]:
            return [StopIteration() if each else each for each in asked]

        turns = MicroBatches(run)
        answers = await asyncio.gather(turns.ask(1), turns.ask(0), return_exceptions=True)
        assert (type(answers[0]), answers[1]) == (RuntimeError, 0)

    asyncio.run(go())


def test_a_request_that_was_given_up_leaves_the_others_alone() -> None:
    async def go() -> None:
        runner = Runner()
        turns = MicroBatches(runner)
        runner.gate.clear()
        given_up, other = asyncio.create_task(turns.ask(2)), asyncio.create_task(turns.ask(4))
        await turn()
        given_up.cancel()
        await turn()
        runner.gate.set()
        assert await other == 8

    asyncio.run(go())


def test_answers_may_be_given_at_once_and_each_is_told_once_and_later() -> None:
    async def go() -> None:
        batches: list[list[int]] = []
        told: list[tuple[int, int | Exception]] = []

        def run(asked: Sequence[int]) -> list[int | Exception]:
            batches.append(list(asked))
            if 13 in asked:
                raise LogUnavailable("the disk is full")
            return [each * 2 for each in asked]

        def put(n: int) -> None:
            def done(answer: int | Exception) -> None:
                told.append((n, answer))
                if n == 2:
                    put(6)

            turns.put(n, done)

        turns = MicroBatches(run, longest_queue=3)
        for n in (1, 2, 3, 4):
            put(n)
        assert (batches, told, len(turns)) == ([], [], 3)
        await turn()
        assert batches == [[1, 2, 3], [6]]
        assert isinstance(dict(told).pop(4), Overloaded)
        assert [pair for pair in told if pair[0] != 4] == [(1, 2), (2, 4), (3, 6), (6, 12)]
        put(13)
        await turn()
        put(5)
        await turn()
        assert [type(answer) for _, answer in told[5:]] == [LogUnavailable, int]

    asyncio.run(go())


def test_what_a_batch_logs_has_no_requests_id() -> None:
    async def go() -> None:
        seen: list[str | None] = []

        def run(asked: Sequence[int]) -> list[int | Exception]:
            seen.append(REQUEST_ID.get())
            return list(asked)

        REQUEST_ID.set("r1")
        assert await MicroBatches(run).ask(1) == 1
        assert seen == [None]

    asyncio.run(go())


# --- turns of a server ----------------------------------------------------------------------


@dataclass(kw_only=True)
class Gated(FakeFeatures):
    """A store that holds back every answer while its gate is shut."""

    gate: threading.Event = field(default_factory=threading.Event)
    sizes: list[int] = field(default_factory=list)

    def read(
        self, keys: Sequence[Mapping[str, object]], at: Sequence[datetime]
    ) -> tuple[npt.NDArray[np.float32], list[datetime], int]:
        self.sizes.append(len(keys))
        assert self.gate.wait(10)
        return super().read(keys, at)


@dataclass(frozen=True, kw_only=True)
class Allergic(FakeScorer):
    """A model that fails on one note, and gives no probability for another."""

    def outputs(
        self, texts: Mapping[str, Sequence[str]], dense: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        if "poison" in texts["note"]:
            raise RuntimeError("a secret of the model")
        return super().outputs(texts, dense) + 7 * ("odd" in texts["note"])


@dataclass(kw_only=True)
class Held:
    """A server whose worker is busy, so that what is asked waits together."""

    api: httpx.Client
    features: Gated
    turns: MicroBatches[bytes, object]
    pool: ThreadPoolExecutor
    asked: list[Future[httpx.Response]] = field(default_factory=list)

    def ask(self, body: dict[str, object]) -> None:
        """Returns once it waits behind the others."""
        waiting = len(self.turns)
        self.asked.append(self.pool.submit(self.api.post, "/v1/toy/predict", json=body))
        wait_until(lambda: len(self.turns) > waiting or self.asked[-1].done())

    def answers(self) -> list[httpx.Response]:
        """Let the worker go on; what all of them got, in order."""
        self.features.gate.set()
        return [each.result() for each in self.asked]


@contextmanager
def held(toy: Toy, monkeypatch: pytest.MonkeyPatch, *, longest_queue: int = 100) -> Iterator[Held]:
    features = Gated()
    features.gate.set()
    toy.features = features
    made: list[MicroBatches[bytes, object]] = []

    def watched(run: object) -> MicroBatches[bytes, object]:
        made.append(MicroBatches(run, longest_queue=longest_queue))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(composition, "MicroBatches", watched)
    with serving(toy) as api, ThreadPoolExecutor(40) as pool:
        features.sizes.clear()
        features.gate.clear()
        pool.submit(api.post, "/v1/toy/predict", json=asked("first"))
        try:
            wait_until(lambda: features.sizes)
            yield Held(api=api, features=features, turns=made[0], pool=pool)
        finally:
            features.gate.set()


@pytest.fixture
def toy(settings: Settings) -> Toy:
    toy = Toy(settings=settings, models={1: Allergic()})
    toy.deploy(1)
    return toy


def test_a_batch_of_single_requests_answers_as_they_would_be_alone(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [asked(f"e{n}", amount=float(n), note="x" * n) for n in range(20)]
    with held(toy, monkeypatch) as server:
        for body in bodies:
            server.ask(body)
        together = server.answers()
        assert server.features.sizes == [1, 20]
        alone = [server.api.post("/v1/toy/predict", json={**body, "event_id": f"{n}"}).json()
                 for n, body in enumerate(bodies)]
        again = [server.api.post("/v1/toy/predict", json=body).content for body in bodies]
    assert [one.json()["score"] for one in together] == [one["score"] for one in alone]
    assert [one.content for one in together] == again
    assert len(toy.features.remembered) == 41


def test_retries_within_a_batch_get_one_answer_and_count_once(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(toy, monkeypatch) as server:
        for body in (asked("e"), asked("first"), asked("e"), asked("e", amount=3.0), asked("e")):
            server.ask(body)
        one, first, two, changed, three = server.answers()
        counts = server.api.get("/v1/toy/version").json()["counts"]
    assert one.status_code == first.status_code == 200
    assert one.content == two.content == three.content
    assert "answered before with another body" in problem(changed, 409, "event_changed")["message"]
    assert (counts["predicted"], counts["repeated"], counts["rejected"]) == (2, 3, 1)
    assert EventLog(toy.settings.event_log).count("toy") == (2, 0)
    assert [row["event_id"] for row in toy.features.remembered] == ["first", "e"]


def test_a_request_that_breaks_the_model_fails_alone(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [asked(f"e{n}") for n in range(9)]
    bodies[2], bodies[5] = asked("poison", note="poison"), asked("odd", note="odd")
    bodies[7] = {"event": "not an object"}
    with held(toy, monkeypatch) as server:
        for body in bodies:
            server.ask(body)
        answers = server.answers()
        counts = server.api.get("/v1/toy/version").json()["counts"]
    assert [answer.status_code for answer in answers] == [
        200, 200, 500, 200, 200, 500, 200, 422, 200]
    assert "secret" not in problem(answers[2], 500, "internal")["message"]
    problem(answers[5], 500, "failed")
    problem(answers[7], 422, "unusable_event")
    assert (counts["predicted"], counts["rejected"]) == (7, 1)
    assert EventLog(toy.settings.event_log).count("toy") == (7, 0)
    assert len(toy.features.remembered) == 7


def test_while_another_process_holds_the_log_all_of_a_batch_get_a_503_and_the_api_lives(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(composition, "LOG_PATIENCE_S", 0.2)
    with held(toy, monkeypatch) as server:
        for n in range(3):
            server.ask(asked(f"e{n}"))
        other = sqlite3.connect(file_of(toy.settings.event_log), isolation_level=None)
        other.execute("begin immediate")
        server.features.gate.set()
        assert server.api.get("/healthz").status_code == 200
        for answer in server.answers():
            problem(answer, 503, "log_unavailable")
        other.execute("rollback")
        other.close()
        assert server.api.post("/v1/toy/predict", json=asked("e0")).status_code == 200
    assert EventLog(toy.settings.event_log).count("toy") == (1, 0)


def test_of_other_calls_too_only_so_many_wait(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "LONGEST_LINE", 1)
    with held(toy, monkeypatch) as server:
        said = {"prediction_id": "nobody's", "label": True, "source": "a"}
        answer = server.api.post("/v1/toy/feedback", json=said)
        problem(answer, 503, "overloaded")
        assert answer.headers["retry-after"] == "1"
        batch = {"events": [asked("e")]}
        problem(server.api.post("/v1/toy/predict/batch", json=batch), 503, "overloaded")
        server.features.gate.set()
        wait_until(lambda: server.api.post("/v1/toy/predict/batch", json=batch).status_code == 200)


def test_more_than_may_wait_is_a_503_at_once_while_the_others_are_answered(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(toy, monkeypatch, longest_queue=5) as server:
        for n in range(8):
            server.ask(asked(f"e{n}"))
        for refused in server.asked[5:]:
            answer = refused.result(5)
            problem(answer, 503, "overloaded")
            assert answer.headers["retry-after"] == "1"
        assert server.api.get("/healthz").status_code == 200
        assert [answer.status_code for answer in server.answers()] == [200] * 5 + [503] * 3
        assert server.api.post("/v1/toy/predict", json=asked("e7")).status_code == 200
    assert EventLog(toy.settings.event_log).count("toy") == (7, 0)


def test_what_is_quick_runs_on_the_event_loop_and_what_would_wait_does_not(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "QUICK_SECONDS", 60.0)  # whatever this machine takes
    monkeypatch.setattr(composition, "LOG_PATIENCE_S", 10)
    with serving(toy) as api, ThreadPoolExecutor(1) as pool:
        toy.features.threads.clear()
        for n in range(3):
            assert api.post("/v1/toy/predict", json=asked(f"e{n}")).status_code == 200
        first, *others = toy.features.threads
        assert first == "predict", "nobody knows yet how long it takes"
        assert "predict" not in others
        other = sqlite3.connect(file_of(toy.settings.event_log), isolation_level=None)
        other.execute("begin immediate")
        waiting = pool.submit(api.post, "/v1/toy/predict", json=asked("busy"))
        wait_until(lambda: toy.features.threads[-1] == "predict")
        assert api.get("/healthz").status_code == 200
        other.execute("rollback")
        other.close()
        assert waiting.result().status_code == 200
    assert EventLog(toy.settings.event_log).count("toy") == (4, 0)
