"""Measured work runs in a process of its own, and its cost is that of the work alone."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.feature_store.jobs import Meter, Outcome, median_of, run
from benchmarks.feature_store.results import digest
from ml_assets.core.errors import MlAssetsError

MEGABYTES = 200


def process_id() -> int:
    return os.getpid()


def failing() -> None:
    raise ValueError("no such table")


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def holding(*, before: bool) -> Outcome:
    """Memory that is taken before the work, or by it."""
    held = np.ones(MEGABYTES * 2**17) if before else None
    with Meter() as meter:
        mine = None if before else np.ones(MEGABYTES * 2**17)
    assert (held is None) != (mine is None)
    return Outcome(cost=meter.cost, digest="")


def spinning_in_threads() -> Outcome:
    """Half a CPU second, in a thread."""
    def spin() -> None:
        until = time.thread_time() + 0.5
        while time.thread_time() < until:
            pass

    with Meter() as meter:
        thread = threading.Thread(target=spin)
        thread.start()
        thread.join()
    return Outcome(cost=meter.cost, digest="")


def counting(*, path: Path) -> Outcome:
    """Says something else each time."""
    with Meter() as meter:
        number = int(path.read_text()) + 1
        path.write_text(str(number))
    return Outcome(cost=meter.cost, digest=str(number))


def test_every_job_has_a_process_of_its_own() -> None:
    assert len({os.getpid(), run("a", process_id), run("b", process_id)}) == 3


def test_a_failure_says_which_work_failed_and_how() -> None:
    with pytest.raises(MlAssetsError, match=r"(?s)'as-of: ours' failed.*ValueError: no such tab"):
        run("as-of: ours", failing)


def test_a_killed_process_is_an_error_that_says_so() -> None:
    with pytest.raises(MlAssetsError, match="exit code -9"):
        run("as-of: ours", killed)


def test_the_memory_of_the_work_is_told_from_what_was_held_before() -> None:
    before, during = run("a", holding, before=True), run("b", holding, before=False)
    assert before.cost.added_gb < 0.05
    assert during.cost.added_gb > 0.9 * MEGABYTES * 2**20 / 1e9
    assert before.cost.peak_gb > 0.9 * MEGABYTES * 2**20 / 1e9


def test_cpu_time_of_threads_counts() -> None:
    assert run("a", spinning_in_threads).cost.cpu_s > 0.45


def test_runs_that_disagree_agree_with_no_peer(tmp_path: Path) -> None:
    (tmp_path / "n").write_text("0")
    assert median_of(2, "a", counting, path=tmp_path / "n").digest == "1 2"


def test_a_digest_is_of_the_bits_and_knows_one_nan() -> None:
    odd = np.array([0x7FF8000000000001], dtype=np.uint64).view(np.float64)
    assert digest(np.array([np.nan])) == digest(odd)
    assert digest(np.array([0.1])) != digest(np.array([0.1 + 2**-56]))
    assert digest(np.array([1], np.float32)) != digest(np.array([1], np.float64))
