"""A Dagster run that Ctrl-C meets is reported stopped, and `ml-assets run` ends with 130."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest
from dagster._utils.interrupts import capture_interrupts

from ml_assets.automation.dead_runs import STOPPED_TAG
from ml_assets.automation.jobs import RETRAINING
from ml_assets.core.errors import NotReady
from ml_assets.core.runtime.interrupts import remembered
from ml_assets.core.settings import ROOT, Settings
from ml_assets.replay.runs import Runs
from tests.core.runtime.test_interrupts import destructor, duckdb_query, interrupt
from tests.toy import TOY

FAILED, SUCCEEDED = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def retrain(
    settings: Settings, instance: dg.DagsterInstance, interrupted: Callable[[], bool],
    work: Callable[[], None], afterwards: Callable[[], None],
) -> None:
    """A retraining of one step, which does `work`; `afterwards` closes its resource."""
    @dg.resource
    def closed_at_the_end() -> Iterator[None]:
        yield
        afterwards()

    @dg.asset(required_resource_keys={"closed"})
    def model() -> None:
        work()

    definitions = dg.Definitions(
        assets=[model], executor=dg.in_process_executor, resources={"closed": closed_at_the_end},
        jobs=[dg.define_asset_job(RETRAINING.format("toy"), [model])],
    )
    Runs(system=TOY, settings=settings, definitions=definitions, instance=instance,
         interrupted=interrupted).retraining({})


def test_who_watches_hears_which_step_runs_and_what_it_logs(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    """A training says how far it is in lines of its log, which the bar of a replay shows."""
    @dg.asset(key_prefix="toy")
    def model() -> None:
        for epoch in (1, 2):
            dg.AssetExecutionContext.get().log.info(f"epoch {epoch} of 2")

    heard: list[tuple[str, str]] = []
    Runs(system=TOY, settings=settings, instance=instance, definitions=dg.Definitions(
        assets=[model], executor=dg.in_process_executor,
        jobs=[dg.define_asset_job(RETRAINING.format("toy"), [model])],
    ), hear=lambda step, line: heard.append((step, line))).retraining({})
    assert heard == [("model", ""), ("model", "epoch 1 of 2"), ("model", "epoch 2 of 2")]
    assert not instance._subscribers, "nobody listens to a run that is over"


def nothing() -> None:
    pass


def failing() -> None:
    raise OSError("of its own")


def dropped() -> None:
    """The run goes on until the interrupt is sent again."""
    destructor()
    time.sleep(60)


def captured() -> None:
    with capture_interrupts():
        interrupt()


def captured_then_failing() -> None:
    captured()
    failing()


@pytest.mark.parametrize(("work", "afterwards", "status"), [
    pytest.param(interrupt, nothing, FAILED, id="raised"),
    pytest.param(duckdb_query, nothing, FAILED, id="RuntimeError of DuckDB"),
    pytest.param(dropped, nothing, FAILED, id="dropped by a destructor"),
    pytest.param(captured_then_failing, nothing, FAILED, id="swallowed, then an error"),
    pytest.param(captured, nothing, SUCCEEDED, id="swallowed"),
    pytest.param(nothing, interrupt, FAILED, id="while its resources are closed"),
])
def test_a_run_that_an_interrupt_meets_ends_the_loop_and_counts_as_no_failure(
    settings: Settings, instance: dg.DagsterInstance,
    work: Callable[[], None], afterwards: Callable[[], None], status: dg.DagsterRunStatus,
) -> None:
    """What was stopped is tagged so, and its reason fires again; what has succeeded stands."""
    with pytest.raises(KeyboardInterrupt), remembered() as interrupts:
        retrain(settings, instance, interrupts.came, work, afterwards)
    (run,) = instance.get_runs()
    assert run.status == status
    assert (STOPPED_TAG in run.tags) == (status == FAILED)


def test_a_run_that_fails_by_itself_is_not_stopped(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    with pytest.raises(NotReady, match="of its own"), remembered() as interrupts:
        retrain(settings, instance, interrupts.came, failing, nothing)
    (run,) = instance.get_runs()
    assert run.status == FAILED and STOPPED_TAG not in run.tags


def imports(process: subprocess.Popen[str], var: Path) -> bool:
    """Whether the command has begun: it imports Dagster, and with it pydantic."""
    try:
        maps = psutil.Process(process.pid).memory_maps()
    except psutil.NoSuchProcess:
        return False
    return any("pydantic_core" in each.path for each in maps)


def takes_in_history(process: subprocess.Popen[str], var: Path) -> bool:
    return any((var / "lake").rglob("*.parquet"))


@pytest.mark.slow
@pytest.mark.corpus
@pytest.mark.parametrize("begun", [imports, takes_in_history])
def test_the_main_job_ends_with_130_wherever_an_interrupt_meets_it(
    tmp_path: Path, begun: Callable[[subprocess.Popen[str], Path], bool]
) -> None:
    """128 and the signal's number, as shells have it; 1 would be an error.

    If the interrupt meets an `exec` of a string, as dataclasses make methods, CPython notes it for
    good and ends by the signal instead: 130 to a shell too.
    """
    var = tmp_path / "var"
    with subprocess.Popen(
        [sys.executable, "-m", "ml_assets.cli", "run", "spam", "--days", "1"], text=True, cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "ML_ASSETS_VAR": str(var)},
    ) as run:
        deadline = time.monotonic() + 120
        while not begun(run, var) and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        said = run.communicate(timeout=60)[0]
    assert run.returncode in (130, -signal.SIGINT), said
    assert "resumes from here" in said
