"""Dagster's runs, and their steps, as jobs of a Ray cluster."""

import os
import shlex
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import dagster as dg
from dagster._core.definitions.executor_definition import multiple_process_executor_requirements
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.base import Executor
from dagster._core.executor.init import InitExecutorContext
from dagster._core.executor.step_delegating import StepDelegatingExecutor, StepHandlerContext
from dagster._core.launcher.base import LaunchRunContext, ResumeRunContext
from dagster._grpc.types import ExecuteRunArgs, ResumeRunArgs
from dagster._serdes import ConfigurableClassData

from ml_assets.core.errors import DeclarationError
from ml_assets.core.project import project, read_project
from ml_assets.core.runtime.workers import jobs_at
from ml_assets.core.settings import PREFIX, VARIABLES, Settings

try:
    from dagster_ray import RayRunLauncher
    from dagster_ray.core.executor import RayStepHandler
    from dagster_ray.core.run_launcher import get_job_submission_id_from_run_id
except ImportError as error:
    raise DeclarationError(
        "ML_ASSETS_RUNS or ML_ASSETS_STEPS is 'ray', but dagster-ray is not installed: "
        "pip install 'ml-assets[ray]', or unset both to execute runs on this machine"
    ) from error

SECRET = ("REDIS", "SMTP", "TOKEN", "WEBHOOK")
"""Variables whose values may hold a password. Ray's dashboard shows what a job is told."""

HEALTH_S = 5
"""Seconds between two looks at whether the job of a step still runs."""


class RunsOnRay(RayRunLauncher):  # type: ignore[misc]  # an extra, which mypy does not follow
    """Submits each run as a job to the cluster that the setting `ray` names."""

    @classmethod
    def config_type(cls) -> Any:
        return {"address": str}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "RunsOnRay":
        return cls(config_value["address"], inst_data=inst_data,
                   env_vars=job_environment(Settings.from_environment()))

    @cached_property
    def client(self) -> Any:
        return jobs_at(self.address)

    def launch_run(self, context: LaunchRunContext) -> None:
        self._submit(ExecuteRunArgs, context.dagster_run, None)

    def resume_run(self, context: ResumeRunContext) -> None:
        self._submit(ResumeRunArgs, context.dagster_run, context.resume_attempt_number)

    def get_run_worker_debug_info(
        self, run: dg.DagsterRun, include_container_logs: bool | None = True
    ) -> str:
        """Of a run that failed by itself. dagster-ray shows all that Ray knows, some pages."""
        name = get_job_submission_id_from_run_id(
            run.run_id, self._instance.count_resume_run_attempts(run.run_id))
        job = self.client.get_job_info(name)
        return (f"Ray job {name}: {job.status.value}, exit code {job.driver_exit_code}. What it "
                f"wrote: `ray job logs {name}`, where the cluster's head is")

    def _submit(
        self, asked: type[ExecuteRunArgs | ResumeRunArgs], run: dg.DagsterRun, attempt: int | None
    ) -> None:
        """As dagster-ray 0.4.8, which puts quotes round arguments that may contain some: those of
        an instance that names its storages one by one do.
        """
        assert run.job_code_origin is not None
        command = asked(
            job_origin=run.job_code_origin, run_id=run.run_id, set_exit_code_on_failure=True,
            instance_ref=self._instance.get_ref()).get_command_args()
        self._launch_ray_job(
            get_job_submission_id_from_run_id(run.run_id, attempt), shlex.join(command), run)


class StepOnRay(RayStepHandler):  # type: ignore[misc]
    """Submits a step as a job that has the names of run and step. dagster-ray takes 32 bits of a
    hash of these, and a cluster refuses a name that it has had.
    """

    def _get_ray_job_submission_id(self, context: StepHandlerContext) -> str:
        told = context.execute_step_args
        [step] = told.step_keys_to_execute or []
        return f"dagster-step-{told.run_id}-{step}"


def steps_on_ray(address: str) -> dg.ExecutorDefinition:
    """Executes each step as a job, one after the other, as a single process does."""

    @dg.executor(name="ray", requirements=multiple_process_executor_requirements())
    def executor(context: InitExecutorContext) -> Executor:
        return StepDelegatingExecutor(
            StepOnRay(
                client=jobs_at(address), env_vars=job_environment(Settings.from_environment()),
                runtime_env=None, num_cpus=None, num_gpus=None, memory=None, resources=None),
            retries=RetryMode.DISABLED, max_concurrent=1, should_verify_step=True,
            check_step_health_interval_seconds=HEALTH_S)

    return executor


def require_no_password(settings: Settings) -> None:
    """Raise DeclarationError if a job would be told one: each must be told the database."""
    database = urlsplit("" if settings.cluster is None else settings.cluster.postgres)
    if database.password is not None or "password" in parse_qs(database.query):
        raise DeclarationError(
            "ML_ASSETS_POSTGRES holds a password, which Ray's dashboard would show to whoever can "
            "reach it. Keep it in PGPASSWORD or ~/.pgpass, here and on the machines of the cluster")


def job_environment(settings: Settings) -> list[str]:
    """What a job needs of this process's environment, each `NAME=value`.

    Everything else it takes from the node, where `ray start` was called: passwords and keys.
    """
    names = [f"{PREFIX}{name}" for name in VARIABLES if name not in SECRET]
    names += ["PYTHONPATH", "DAGSTER_POSTGRES_URL", "DAGSTER_EVENT_BATCH_SIZE"]
    told = {name: os.environ[name] for name in names if name in os.environ}
    folder = project().folder
    if read_project(folder) is not None:
        told[f"{PREFIX}PROJECT"] = str(folder)
    told |= {
        f"{PREFIX}VAR": str(settings.var), f"{PREFIX}CACHE": str(settings.cache),
        "DAGSTER_HOME": str(settings.dagster_home),
        # For `dagster`; Ray puts in what the node has.
        "PATH": f"{Path(sys.executable).parent}:${{PATH}}",
        # Otherwise a job has one thread, and a training other bits than in this process.
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(os.cpu_count())),
        # A job's own environment may differ from that of the workers that it asks.
        "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1"}
    return [f"{name}={value}" for name, value in told.items()]
