"""A training that is killed goes on where it was, and comes to the same weights."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.core.errors import NotReady
from ml_assets.core.model.minibatch import Minibatch
from ml_assets.core.settings import ROOT
from ml_assets.training.loop.checkpoints import FILE, LOCK, discard
from tests.training.loop import killed
from tests.training.loop.made_up import a_network, fitted, weights
from tests.training.loop.stopping import stopped_after

FIT = Minibatch(batch=100, epochs=4, rate=0.02, checkpoint_s=1e-9)


def test_a_process_that_is_killed_resumes_to_the_same_weights(tmp_path: Path) -> None:
    """`kill -9`, twice, in the middle of epochs: as their number is chosen, and of all rows."""
    for fatal in ("step 1 3", "again 2 6"):
        with subprocess.Popen(
            [sys.executable, "-m", "tests.training.loop.killed", str(tmp_path), "0.02"], cwd=ROOT,
            stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.strip() == fatal:
                    process.kill()
                    break
        assert process.returncode == -9
        assert list(tmp_path.rglob(FILE))
    resumed, reached = killed.digest(tmp_path)
    whole, none = killed.digest(None)
    assert reached >= 24 + 26 and none == 0
    assert resumed == whole


def stop(steps: int, folder: Path) -> None:
    """Train, and stop right after so many steps are stored."""
    with stopped_after(steps):
        fitted(a_network(), FIT, folder=folder)


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    network = a_network()
    fitted(network, FIT)
    return weights(network)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=5,
          deadline=None)
@given(steps=st.integers(1, 61))
def test_wherever_it_stops_it_comes_to_the_same_weights(
    steps: int, whole: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """61: after the last step, before whoever asked has stored the result."""
    folder = tmp_path_factory.mktemp("stopped")
    stop(steps, folder)
    network = a_network()
    history = fitted(network, FIT, folder=folder)
    assert history.resumed == min(steps, 60)
    assert weights(network) == whole
    assert history.steps == 60


def test_another_training_does_not_resume_from_it(tmp_path: Path) -> None:
    stop(9, tmp_path)
    before = (tmp_path / FILE).read_bytes()
    for network, fit, rows, seed in (
        (a_network(seed=4), FIT, 1500, 5),
        (a_network(), Minibatch(batch=100, epochs=4, rate=0.03), 1500, 5),
        (a_network(), FIT, 1400, 5), (a_network(), FIT, 1500, 6),
        (a_network(), replace(FIT, half_life=timedelta(days=1)), 1500, 5),
    ):
        (tmp_path / FILE).write_bytes(before)
        assert fitted(network, fit, rows=rows, seed=seed, folder=tmp_path).resumed == 0


def test_how_often_it_is_stored_changes_nothing(tmp_path: Path) -> None:
    stop(9, tmp_path)
    assert fitted(a_network(), Minibatch(batch=100, epochs=4, rate=0.02), folder=tmp_path
                  ).resumed == 9


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_costs_the_steps_and_no_more(
    content: bytes | None, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    stop(9, tmp_path)
    whole_file = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole_file[:-100] if content is None else content)
    network = a_network()
    assert fitted(network, FIT, folder=tmp_path).resumed == 0
    assert weights(network) == whole


def test_two_processes_do_not_train_in_one_folder(tmp_path: Path) -> None:
    with (tmp_path / LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(NotReady, match="another process trains in"):
            fitted(a_network(), FIT, folder=tmp_path)


def test_a_training_that_is_forgotten_begins_anew(tmp_path: Path) -> None:
    fitted(a_network(), FIT, folder=tmp_path)
    discard(tmp_path)
    discard(tmp_path)
    assert fitted(a_network(), FIT, folder=tmp_path).resumed == 0
