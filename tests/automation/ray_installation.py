"""An installation whose Dagster runs are jobs of a Ray cluster, with its services as processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest

from ml_assets.automation.instance import prepare_home
from ml_assets.core.runtime import keeper
from ml_assets.core.runtime.workers import jobs_at
from ml_assets.core.settings import ROOT, Settings
from ml_assets.services import services
from tests.places import environment
from tests.repositories import repository_of
from tests.whole_loop import WholeLoop

CLUSTER = """
import sys
from benchmarks.ray_cluster import cluster
with cluster(cores=2, jobs=True, gpus=1) as address:
    print(address, flush=True)
    sys.stdin.read()
"""
SYSTEM = "from tests.recorded_toy import WHOLE as SYSTEM\n"
PATIENCE_S = 150.0
ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def wait_for(holds: Callable[[], object]) -> None:
    """Return once `holds()`, which asks a database that others write to."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@contextmanager
def cluster_with_jobs() -> Iterator[str]:
    """The address of a cluster of its own, in another process: this one has never used Ray."""
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()


@dataclass(frozen=True, kw_only=True)
class RayInstallation:
    """Its folder holds the history of the toy; Dagster's code server and daemon run."""

    loop: WholeLoop
    address: str
    instance: dg.DagsterInstance
    workspace: Path

    def launch(self, job: str, **tags: object) -> str:
        """Ask Dagster's queue for a run, as its UI does; the run's id."""
        run_id = str(uuid4())
        texts = {name: tag if isinstance(tag, str) else json.dumps(tag)
                 for name, tag in tags.items()}
        subprocess.run(
            [Path(sys.executable).parent / "dagster", "job", "launch", "-w", self.workspace,
             "-j", job, "--run-id", run_id, "--tags", json.dumps(texts)],
            check=True, capture_output=True, cwd=ROOT)
        return run_id

    def sensed(self, job: str) -> str:
        """The run that a sensor asks for, since there are labels and no model; its id."""
        of = dg.RunsFilter(job_name=job)
        wait_for(lambda: self.instance.get_runs(of))
        return self.instance.get_runs(of)[0].run_id

    def status(self, run_id: str) -> dg.DagsterRunStatus:
        found = self.instance.get_run_by_id(run_id)
        assert found is not None
        return found.status

    def ended(self, run_id: str) -> dg.DagsterRunStatus:
        """How it ends."""
        wait_for(lambda: self.status(run_id) in ENDED)
        return self.status(run_id)

    def begun(self, run_id: str, step: str) -> None:
        """Return once the step has begun."""
        wait_for(lambda: self._said(run_id, dg.DagsterEventType.STEP_START, step))

    def process_of(self, run_id: str, step: str | None = None) -> int:
        """That which executes the run, or the step."""
        kind = dg.DagsterEventType.STEP_START if step else dg.DagsterEventType.RUN_START
        said = self._said(run_id, kind, step)[-1].dagster_event
        assert said is not None and said.pid is not None
        return said.pid

    def _said(
        self, run_id: str, kind: dg.DagsterEventType, step: str | None = None
    ) -> list[dg.EventLogEntry]:
        return [entry for entry in self.instance.all_logs(run_id, of_type=kind)
                if entry.step_key == step]

    def retried(self, run_id: str) -> list[str]:
        """The runs that Dagster has begun instead, once it has."""
        of = dg.RunsFilter(tags={"dagster/parent_run_id": run_id})
        wait_for(lambda: self.instance.get_runs(of))
        return [run.run_id for run in self.instance.get_runs(of)]

    def captured(self, run_id: str) -> str:
        """What Dagster's UI shows under "stderr" of a run, whoever executed it."""
        logs: Any = self.instance.compute_log_manager
        return "".join(
            (logs.get_log_data([run_id, "compute_logs", said.file_key]).stderr or b"").decode()
            for entry in self.instance.all_logs(run_id, of_type=dg.DagsterEventType.LOGS_CAPTURED)
            if (said := _of(entry)) is not None)

    def gpus_given(self) -> list[float]:
        """How many the cluster gave to each job so far."""
        from ray.util.state import list_actors

        found = list_actors(address=jobs_at(self.address).get_address(), detail=True, limit=1000,
                            filters=[("class_name", "=", "JobSupervisor")])
        return [(each.required_resources or {}).get("GPU", 0.0) for each in found]

    def engine_said(self, run_id: str) -> str:
        return "\n".join(entry.message for entry in self.instance.all_logs(
            run_id, of_type=dg.DagsterEventType.ENGINE_EVENT))


def _of(entry: dg.EventLogEntry) -> Any:
    return None if entry.dagster_event is None else entry.dagster_event.event_specific_data


def project_in(folder: Path) -> Path:
    """A project that declares the toy."""
    (folder / "systems" / "toy").mkdir(parents=True)
    (folder / "systems" / "toy" / "__init__.py").write_text(SYSTEM)
    (folder / "pyproject.toml").write_text("[tool.ml_assets]\n")
    with repository_of(folder / "feature_repo", WholeLoop.system):
        return folder


@contextmanager
def ray_installation(folder: Path, **told: str) -> Iterator[RayInstallation]:
    """told: settings by their variables"""
    project = project_in(folder / "project")
    loop = WholeLoop(settings=Settings(var=folder / "var"))
    with repository_of(project / "feature_repo", loop.system), (
            dg.DagsterInstance.ephemeral()) as apart:
        loop.take_in_history(apart)
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        packages = ROOT / "packages" / "dagster-feast"
        for name, value in {
            **environment(loop.settings), **told, "ML_ASSETS_PROJECT": str(project),
            "PYTHONPATH": f"{ROOT}:{packages}", "DAGSTER_HOME": "",
        }.items():
            patch.setenv(name, value)
        settings = Settings.from_environment()
        prepare_home(settings)
        dagster_yaml = settings.dagster_home / "dagster.yaml"
        dagster_yaml.write_text(dagster_yaml.read_text().replace(
            "poll_interval_seconds: 30", "poll_interval_seconds: 3"))
        sockets = Path(stack.enter_context(TemporaryDirectory(prefix="ml-", dir="/tmp")))
        code, daemon = (each for each in services(settings, 0, 0, sockets)
                        if each.name in ("code", "daemon"))
        workspace = sockets / "workspace.yaml"
        workspace.write_text(f"load_from: [{{grpc_server: {{socket: {code.socket}}}}}]\n")
        for service in (code, daemon):
            output = stack.enter_context((folder / f"{service.name}.log").open("wb"))
            stack.callback(keeper.stop, keeper.start(service.command, output=output, cwd=project))
            if service.socket is not None:
                wait_for(service.socket.exists)
        yield RayInstallation(
            loop=loop, address=settings.ray, workspace=workspace,
            instance=stack.enter_context(dg.DagsterInstance.get()))
