"""Calls on one thread: in order, each with its own end, and none left without one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from functools import partial

import pytest

from ml_assets.serving.batching.worker_thread import WorkerThread


def on_a_loop(go: Callable[[WorkerThread], Coroutine[None, None, None]]) -> None:
    """Run `go` with a worker that is stopped at the end."""
    worker = WorkerThread("test")
    worker.start()
    try:
        asyncio.run(go(worker))
    finally:
        worker.stop()


def test_calls_run_in_order_on_one_thread_that_is_not_the_loops() -> None:
    async def go(worker: WorkerThread) -> None:
        order: list[int] = []

        def call(n: int) -> tuple[int, int]:
            order.append(n)
            return n, threading.get_ident()

        answers = await asyncio.gather(*(worker.do(partial(call, n)) for n in range(50)))
        assert order == [n for n, _ in answers] == list(range(50))
        [thread] = {ident for _, ident in answers}
        assert thread != threading.get_ident()

    on_a_loop(go)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(ValueError, ValueError), (GeneratorExit, GeneratorExit), (StopIteration, RuntimeError)],
)
def test_whatever_a_call_raises_reaches_who_asked_and_the_next_call_runs(
    raised: type[BaseException], expected: type[BaseException]
) -> None:
    async def go(worker: WorkerThread) -> None:
        def call() -> None:
            raise raised

        failing = asyncio.ensure_future(worker.do(call))
        await asyncio.wait([failing])
        assert type(failing.exception()) is expected
        assert await worker.do(lambda: 7) == 7

    on_a_loop(go)


def test_the_loop_goes_on_while_a_call_takes_its_time() -> None:
    async def go(worker: WorkerThread) -> None:
        gate = threading.Event()
        slow = asyncio.ensure_future(worker.do(lambda: gate.wait(10)))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not slow.done()
        gate.set()
        assert await slow

    on_a_loop(go)


def test_a_call_whose_caller_was_cancelled_runs_all_the_same() -> None:
    """The law: what was accepted is logged, whether or not its client waits."""
    async def go(worker: WorkerThread) -> None:
        gate, done = threading.Event(), threading.Event()
        before = asyncio.ensure_future(worker.do(lambda: gate.wait(10)))
        given_up = asyncio.ensure_future(worker.do(done.set))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait([given_up])
        gate.set()
        await before
        await worker.do(lambda: None)
        assert done.is_set()

    on_a_loop(go)


def test_a_stop_returns_when_everything_that_was_asked_is_done() -> None:
    done: list[int] = []

    async def go(worker: WorkerThread) -> None:
        for n in range(100):
            asyncio.ensure_future(worker.do(partial(done.append, n)))  # noqa: RUF006
        await asyncio.sleep(0)

    on_a_loop(go)
    assert done == list(range(100))
