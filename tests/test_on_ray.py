"""What a real Ray cluster computes is what this process computes. It has two workers."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import settings as budget

from benchmarks.ray_cluster import cluster
from ml_assets.core.errors import ContractViolation, NotReady, WorkersLost
from ml_assets.core.model.minibatch import Minibatch
from ml_assets.core.runtime.workers import WorkerPool, jobs_at, workers_at
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.target import Target
from ml_assets.core.time import midnight
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.history.ask import WindowedNumbers
from ml_assets.features.history.lookup import Asked
from ml_assets.features.offline import OfflineFeatures
from ml_assets.features.training_sets.assembling import assembled
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import batch_schema
from ml_assets.registry.deployments import Deployments
from ml_assets.serving.batch.daily import score_days
from ml_assets.systems.fraud import FRAUD
from ml_assets.systems.spam import SPAM
from ml_assets.training.loop.blocks import InMemory
from ml_assets.training.loop.history import FitHistory
from ml_assets.training.loop.train import train
from tests.features.engine import strategies
from tests.features.engine.reference import Record
from tests.features.engine.strategies import Question
from tests.features.history.events import happened, table_of
from tests.features.history.sharding import answered
from tests.features.history.test_asking import view_of
from tests.features.recorded import first_days, record
from tests.training.loop.made_up import AMOUNT, Delay, delays

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    if find_spec("ray") is None:
        message = "Ray is missing: pip install -e '.[ray]'"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with cluster(cores=2) as started:
        yield started


@pytest.fixture(scope="session")
def workers(address: str) -> WorkerPool:
    found = workers_at(address)
    assert found is not None and found.count == 2
    return found


def written(folder: Path, records: list[Record], files: int) -> None:
    (folder / "events").mkdir()
    table = table_of(records)
    for number in range(files):
        part = table.take(pa.array(range(number, len(records), files), pa.int64()))
        pq.write_table(part, folder / "events" / f"{number}.parquet")


@given(case=strategies.cases(conflicting=True))
@budget(max_examples=5)
def test_whatever_has_happened_windowed_features_have_the_same_bits(
    workers: WorkerPool, tmp_path_factory: pytest.TempPathFactory,
    case: tuple[WindowedView, list[Record], list[Question]],
) -> None:
    """Which events, is the law of tests/features/history/test_sharded.py."""
    view, records, asked = case
    folder = tmp_path_factory.mktemp("ray")
    written(folder, records, 3)
    np.testing.assert_array_equal(
        answered(folder, view, asked, None, workers), answered(folder, view, asked, None, None))


@pytest.mark.parametrize("system", [SPAM, FRAUD], ids=lambda system: system.name)
def test_a_training_set_has_the_same_bits_and_version(
    address: str, settings: Settings, system: System
) -> None:
    """Of mails, and of payments whose views have several entities."""
    days = first_days(system, 12)
    record(settings, system, days, per_day=6)
    as_of = midnight(days[-1])
    there = replace(settings, ray=address)
    with assembled(settings, system, as_of) as made:
        rows = pd.concat(list(made.frames()), ignore_index=True)
    with assembled(there, system, as_of) as made:
        found = pd.concat(list(made.frames()), ignore_index=True)
    pd.testing.assert_frame_equal(found, rows, check_exact=True)
    built = TrainingSets(there, system).build(as_of)
    assert built.version == TrainingSets(settings, system).build(as_of).version
    assert not list((settings.var / "scratch").iterdir())


@contextmanager
def killing(told: Path) -> Iterator[list[int]]:
    """Kills the process whose number is written there; gives it."""
    killed = list[int]()

    def kill() -> None:
        deadline = time.monotonic() + 50
        while time.monotonic() < deadline:
            if told.exists() and told.read_text().endswith("\n"):
                killed.append(int(told.read_text()))
                os.kill(killed[0], signal.SIGKILL)
                return
            time.sleep(0.02)

    killer = threading.Thread(target=kill)
    killer.start()
    yield killed
    killer.join()


class SlowNumbers(WindowedNumbers):
    """Says who answers, and does not until it is killed: the first time."""

    def answer(self, rows: pa.Table, asked: Asked) -> pa.Table:
        told = self.source.path.parent / "pid"
        if rows.num_rows and not told.exists():
            told.write_text(f"{os.getpid()}\n")
            time.sleep(60)
        return super().answer(rows, asked)


def test_a_worker_that_is_killed_in_the_middle_changes_nothing(
    workers: WorkerPool, tmp_path: Path
) -> None:
    records = [happened(number, number % 7, number / 3, float(number)) for number in range(100)]
    asked = [Question(number % 8, records[99 - number].at) for number in range(100)]
    written(tmp_path, records, 4)
    view = view_of("mean", "amount")
    with killing(tmp_path / "pid") as pids:
        found = answered(tmp_path, view, asked, None, workers, kind=SlowNumbers)
    assert pids and pids != [os.getpid()]
    np.testing.assert_array_equal(found, answered(tmp_path, view, asked, None, None))


@dataclass(frozen=True, kw_only=True)
class ByLength:
    """Scores that read text, numbers and features; what is missing counts as nothing."""

    feature_names: tuple[str, ...]
    target: Target = SPAM.target
    texts: tuple[str, ...] = SPAM.model.texts

    def outputs(
        self, texts: Mapping[str, Sequence[str]], dense: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        logits = np.nan_to_num(dense.astype(np.float64)).sum(axis=1) / 10
        return np.asarray(1 / (1 + np.exp(-logits - len(texts) / 100)))[:, None]


@dataclass(frozen=True)
class LoadedScorer:
    names: tuple[str, ...]

    def __call__(self, system: System, version: int) -> ByLength:
        return ByLength(feature_names=self.names)


def test_a_batch_has_the_scores_of_one_process(address: str, settings: Settings) -> None:
    """Each worker scores some of the days; to the bit."""
    days = first_days(SPAM, 5)
    record(settings, SPAM, days, per_day=9)
    at = midnight(days[-1])
    Deployments(settings.deployments).promote(SPAM.name, 1, reason="a test", by="test", at=at)
    names = (*SPAM.model.numbers, *OfflineFeatures(settings, SPAM).names)
    said, stored = [], []
    for where in (settings, replace(settings, ray=address)):
        scores = score_days(SPAM, where, days, load=LoadedScorer(names))
        said.append((scores.summary.rows, scores.summary.scores().tolist(),
                     scores.summary.preview["event_id"].tolist()))
        stored.append(Lake(settings.lake).read(SPAM.name, "batch_predictions", batch_schema(SPAM)))
    assert said[0] == said[1] and said[0][0] == 45 and len(set(said[0][1])) > 5
    columns = [name for name in stored[0] if name not in ("features", "scored_at")]
    pd.testing.assert_frame_equal(stored[0][columns], stored[1][columns], check_exact=True)
    local, by_workers = (np.stack(rows["features"].tolist()) for rows in stored)
    np.testing.assert_array_equal(local, by_workers)


class Stalling(Delay):
    """At its 30th call, the first time, the process says who it is and waits to be killed."""

    def __init__(self, told: Path | None = None) -> None:
        super().__init__()
        self.told, self.calls = told, 0

    def forward(self, distance: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.told is not None and self.calls == 30:
            try:
                descriptor = os.open(self.told, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            except FileExistsError:
                return super().forward(distance)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            os.close(descriptor)
            time.sleep(60)
        return super().forward(distance)


def fitted(network: Delay, folder: Path, workers: WorkerPool | None) -> FitHistory:
    fit = Minibatch(batch=64, epochs=4, rate=0.05, device="cpu", devices=2, checkpoint_s=1e-6)
    torch.manual_seed(1)
    network.load_state_dict(Delay().state_dict())
    return train(network, fit, InMemory(block=delays(1000)),
                 InMemory(block=delays(101, seed=2), shuffle=False), loss=AMOUNT, seed=1,
                 folder=folder, workers=workers)


def test_workers_train_to_the_bits_of_as_many_processes_even_if_one_is_killed(
    workers: WorkerPool, tmp_path: Path
) -> None:
    """Where it was killed, the training goes on from its last checkpoint."""
    here, killed = Stalling(), Stalling(tmp_path / "pid")
    fitted(here, tmp_path / "here", None)
    with killing(tmp_path / "pid") as pids:
        history = fitted(killed, tmp_path / "there", workers)
    assert pids and 20 < history.resumed < history.steps == 64
    for name, value in here.state_dict().items():
        assert torch.equal(value, killed.state_dict()[name])


def test_more_workers_than_there_are_is_refused(
    workers: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml_assets.core.runtime import ray_workers

    assert workers.together(_double, 2, 2, gpus=False, waiting=lambda: None) == [0, 2]
    monkeypatch.setattr(ray_workers, "PLACED_S", 0.5)
    with pytest.raises(NotReady, match=r"3 workers with .* were asked for at once"):
        workers.together(_double, 2, 3, gpus=False, waiting=lambda: None)


def _double(shared: int, number: int) -> int:
    return shared * number


def test_an_error_of_a_worker_is_the_error_that_one_process_raises(
    workers: WorkerPool, tmp_path: Path
) -> None:
    written(tmp_path, [happened(0, 0, 1, None, pages=2**53 + 1)], 1)
    asked = [Question(0, 2**60)]
    for who in (workers, None):
        with pytest.raises(ContractViolation, match="'pages' has the value 9007199254740993"):
            answered(tmp_path, view_of("sum", "pages"), asked, None, who)


def test_an_address_where_nothing_answers_is_refused_at_once() -> None:
    from ml_assets.core.runtime.ray_workers import require_reachable

    with pytest.raises(WorkersLost, match=r"no Ray cluster answers at '127.0.0.1:9', which ML_ASS"):
        require_reachable("127.0.0.1:9")


def test_a_cluster_that_takes_no_jobs_is_refused_at_once(address: str) -> None:
    """This one has no dashboard."""
    began = time.monotonic()
    with pytest.raises(WorkersLost, match=r"takes no jobs, which ML_ASSETS_RUNS or .*dashboard"):
        jobs_at(address)
    with pytest.raises(WorkersLost, match=r"no Ray cluster answers at '127.0.0.1:9', which ML_ASS"):
        jobs_at("127.0.0.1:9")
    assert time.monotonic() - began < 20
