"""Locks of a system, on one host and on several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ml_assets.core.runtime.locks import asking
from ml_assets.core.settings import Settings
from tests.places import cluster_at


@pytest.fixture(params=["one host", "two hosts"])
def daemons(request: pytest.FixtureRequest, tmp_path: Path) -> list[Settings]:
    """What two daemons run with that somebody started by mistake."""
    first = Settings(var=tmp_path / "a" / "var")
    if request.param == "one host":
        return [first, first]
    cluster = cluster_at(request.getfixturevalue("postgres_url"))
    return [replace(first, cluster=cluster), Settings(var=tmp_path / "b" / "var", cluster=cluster)]


def test_two_daemons_ask_for_a_training_one_after_the_other(daemons: list[Settings]) -> None:
    """What the second then finds is what the first has asked for."""
    inside: list[int] = []
    most = []

    def ask(number: int) -> None:
        for _ in range(5):
            with asking(daemons[number % 2], "toy"):
                inside.append(number)
                time.sleep(0.005)
                most.append(len(inside))
                inside.remove(number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))
    assert most == [1] * 20


def test_another_system_waits_for_nobody(daemons: list[Settings]) -> None:
    def ask() -> bool:
        with asking(daemons[1], "other"):
            return True

    with asking(daemons[0], "toy"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(ask).result(timeout=10)


def hold(settings: Settings, has_it: threading.Event) -> None:
    with asking(settings, "toy"):
        has_it.set()
        time.sleep(60)


def test_who_is_killed_while_asking_holds_nobody_up(daemons: list[Settings]) -> None:
    context = multiprocessing.get_context("fork")
    has_it = context.Event()
    other = context.Process(target=hold, args=(daemons[0], has_it))
    other.start()
    assert has_it.wait(30)
    assert other.pid is not None
    os.kill(other.pid, signal.SIGKILL)
    other.join()
    with asking(daemons[1], "toy"):
        pass
