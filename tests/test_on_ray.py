"""What a real Ray cluster computes is what this process computes: two nodes, each of one core."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as budget

from benchmarks.ray_cluster import cluster
from ml_assets.core.errors import ContractViolation, WorkersLost
from ml_assets.core.runtime.workers import WorkerPool, workers_at
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import midnight
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.history.ask import WindowedNumbers
from ml_assets.features.history.lookup import Asked
from ml_assets.features.training_sets.assembling import assembled
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.systems.fraud import FRAUD
from ml_assets.systems.spam import SPAM
from tests.features.engine import strategies
from tests.features.engine.reference import Record
from tests.features.engine.strategies import Question
from tests.features.history.events import happened, table_of
from tests.features.history.sharding import answered
from tests.features.history.test_asking import view_of
from tests.features.recorded import first_days, record

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    if find_spec("ray") is None:
        message = "Ray is missing: pip install -e '.[ray]'"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with cluster(nodes=2) as started:
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
    told, killed = tmp_path / "pid", list[int]()

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
    found = answered(tmp_path, view, asked, None, workers, kind=SlowNumbers)
    killer.join()
    assert killed and killed != [os.getpid()]
    np.testing.assert_array_equal(found, answered(tmp_path, view, asked, None, None))


def test_an_error_of_a_worker_is_the_error_that_one_process_raises(
    workers: WorkerPool, tmp_path: Path
) -> None:
    written(tmp_path, [happened(0, 0, 1, None, pages=2**53 + 1)], 1)
    asked = [Question(0, 2**60)]
    for who in (workers, None):
        with pytest.raises(ContractViolation, match="'pages' has the value 9007199254740993"):
            answered(tmp_path, view_of("sum", "pages"), asked, None, who)


def test_an_address_where_nothing_answers_is_refused_at_once() -> None:
    from ml_assets.core.runtime.ray_workers import _require_reachable

    with pytest.raises(WorkersLost, match=r"no Ray cluster answers at '127.0.0.1:9', which ML_ASS"):
        _require_reachable("127.0.0.1:9")
