"""Dagster runs and sensor ticks of a replay: the real jobs and the real sensors, in process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.execute_in_process import core_execute_in_process, merge_run_tags
from dagster._core.storage.tags import SCHEDULE_NAME_TAG, SENSOR_NAME_TAG, USER_TAG
from dagster._core.utils import make_new_run_id  # to know it if the run is interrupted

from ml_assets.automation.dead_runs import PROCESS_TAG, report_stopped
from ml_assets.automation.jobs import (
    BATCH,
    CANDIDATES,
    DAILY,
    HISTORY,
    LENT,
    LENT_HISTORY,
    RETRAINING,
)
from ml_assets.automation.sensors import build as build_automation
from ml_assets.core.errors import NotReady
from ml_assets.core.runtime.processes import this_process
from ml_assets.core.settings import Settings
from ml_assets.core.system import System

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

BLOCKED = "dagster._core.errors.DagsterAssetCheckFailedError"


class StoppedByCheck(NotReady):
    """A blocking check stopped the run before it had any effect."""


@dataclass(kw_only=True)
class Runs:
    """Executes a system's jobs in this process and evaluates its sensors, as the daemon would.

    interrupted: whether Ctrl-C has arrived, even if Dagster or a library has swallowed it
    hear: told which step of a run has begun, with "", and each line that it logs
    """

    system: System
    settings: Settings
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    interrupted: Callable[[], bool] = lambda: False
    hear: Callable[[str, str], None] = lambda step, line: None
    _in_process: dict[str, dg.JobDefinition] = field(default_factory=dict)

    def history(self, until: date, *, lent: bool = False) -> None:
        """Ingest all days before `until`, in one run.

        lent: only what other systems read
        """
        first = self.system.calendar.first_day
        self._execute(
            LENT_HISTORY if lent else HISTORY,
            tags={
                "dagster/asset_partition_range_start": first.isoformat(),
                "dagster/asset_partition_range_end": (until - timedelta(days=1)).isoformat(),
            },
        )

    def day(self, day: date, *, lent: bool = False) -> None:
        """Ingest one closed day.

        lent: only what other systems read
        """
        self._execute(LENT if lent else DAILY, partition_key=day.isoformat(),
                      tags={SCHEDULE_NAME_TAG: f"{self.system.name}_daily_schedule"})

    def batch(self, day: date) -> None:
        """Score one day's events in a batch."""
        self._execute(BATCH, partition_key=day.isoformat())

    def candidates(self, day: date) -> None:
        """Make the lists that slates are made of, as of the end of a day."""
        self._execute(CANDIDATES, partition_key=day.isoformat())

    def retraining(self, tags: dict[str, str], *, asked_by: str | None = None) -> None:
        """Retrain; `asked_by` names the sensor or schedule that requested it."""
        if asked_by is not None:
            tag = SCHEDULE_NAME_TAG if asked_by.endswith("_schedule") else SENSOR_NAME_TAG
            tags = {**tags, tag: asked_by}
        self._execute(RETRAINING, tags=tags)

    @cached_property
    def _automation(self) -> list[Any]:
        return build_automation(self.system)

    def ticks(self) -> Iterator[tuple[str, dg.RunRequest]]:
        """Evaluate each sensor and the age schedule once; yield (name, request) if it fires."""
        for automaton in self._automation:
            if isinstance(automaton, dg.SensorDefinition):
                yield from self._sensor_tick(automaton)
            elif automaton.name.endswith("_age_schedule"):
                with dg.build_schedule_context(
                    instance=self.instance, resources={"settings": self.settings}
                ) as context:
                    # Dagster would open it once more.
                    context._instance = self.instance  # type: ignore[assignment]
                    ticked = automaton.evaluate_tick(context)
                for request in ticked.run_requests or []:
                    yield automaton.name, request

    def _sensor_tick(self, sensor: dg.SensorDefinition) -> Iterator[tuple[str, dg.RunRequest]]:
        with dg.build_sensor_context(
            instance=self.instance, resources={"settings": self.settings},
            sensor_name=sensor.name,
        ) as context:
            ticked = sensor.evaluate_tick(context)
        for request in ticked.run_requests or []:
            yield sensor.name, request

    def _execute(
        self, job: str, *, partition_key: str | None = None, tags: dict[str, str] | None = None
    ) -> None:
        name = job.format(self.system.name)
        run_id = make_new_run_id()
        self.instance.add_event_listener(run_id, self._heard)
        try:
            result = self._run(
                name, run_id, partition_key=partition_key,
                tags=_launched_by(tags or {}) | {PROCESS_TAG: this_process()},
            )
        except BaseException:
            if self.interrupted():
                report_stopped(self.instance, run_id)
            raise
        finally:
            # An instance keeps listeners for good, and with them all that they reach.
            self.instance._subscribers.pop(run_id, None)
        if self.interrupted():
            if not result.success:
                report_stopped(self.instance, run_id)
            raise KeyboardInterrupt
        if result.success:
            return
        failed = [
            f"{check.asset_key.to_user_string()}: {check.check_name}"
            for check in result.get_asset_check_evaluations()
            if not check.passed and check.blocking
        ]
        where = f"run {result.run_id} of job {name}" + (
            f" for {partition_key}" if partition_key else ""
        )
        causes = [_cause(event) for event in result.all_events if event.is_step_failure]
        if failed and all(cause.startswith(BLOCKED) for cause in causes):
            raise StoppedByCheck(f"{where} was stopped by {', '.join(failed)}")
        raise NotReady(
            f"{where} failed: {'; '.join(causes[:3])}. Its page in the Dagster UI "
            "(`ml-assets ui`) shows the step and the traceback."
        )

    def _heard(self, entry: dg.EventLogEntry) -> None:
        step = (entry.step_key or "").removeprefix(f"{self.system.name}__")
        if entry.dagster_event is None:
            self.hear(step, entry.user_message)
        elif entry.dagster_event.is_step_start:
            self.hear(step, "")

    def _run(
        self, name: str, run_id: str, *, partition_key: str | None, tags: Mapping[str, str]
    ) -> dg.ExecuteInProcessResult:
        """As `execute_in_process`, which makes the job's schema and snapshot anew for each run."""
        job = self._in_process.get(name)
        if job is None:
            job = self.definitions.resolve_job_def(name).as_ephemeral_job({}, {})
            self._in_process[name] = job
        return core_execute_in_process(
            job=InMemoryJob(job), run_config=QUIET, instance=self.instance, run_id=run_id,
            run_tags=merge_run_tags(job, partition_key, tags, (), self.instance, QUIET),
            output_capturing_enabled=True, raise_on_error=False, asset_selection=frozenset(),
        )


def _launched_by(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags by which the UI says who launched a run; without them it says "manually"."""
    named = {SCHEDULE_NAME_TAG, SENSOR_NAME_TAG} & tags.keys()
    return {**tags} if named else {**tags, USER_TAG: "ml-assets run"}


def _cause(event: dg.DagsterEvent) -> str:
    """The first line of what went wrong, without Dagster's wrapping."""
    data = event.event_specific_data
    error = getattr(data, "error", None)
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip().splitlines()[0] if error is not None else str(event.message)
