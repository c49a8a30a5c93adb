"""The load generator from its parent's side: a process that is started, read and stopped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from benchmarks.serving_load.plan import Outcome, Plan
from ml_assets.core.errors import MlAssetsError
from ml_assets.core.runtime import keeper
from ml_assets.core.settings import ROOT


class GeneratorFailed(MlAssetsError, RuntimeError):
    """The load generator ended without an outcome."""


class Load:
    """A running generator."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def reports(self) -> Iterator[Outcome]:
        """Each interval's outcome as it comes, and the whole run's as the last."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            yield Outcome.decoded(line)

    def outcome(self) -> Outcome:
        """Wait for the end; the whole run's outcome. Raises GeneratorFailed."""
        reports = list(self.reports())
        if self._process.wait() != 0 or not reports:
            raise GeneratorFailed(f"the load generator ended with {self._process.returncode}")
        return reports[-1]

    def stop(self) -> None:
        """Send no more requests; `outcome` then returns once all answers have arrived."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()


@contextmanager
def loading(plan: Plan) -> Iterator[Load]:
    """A generator with `plan`; killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.serving_load.generator"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        preexec_fn=keeper.ending_with_us(),
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(plan.encoded() + "\n")
        process.stdin.flush()
        yield Load(process)
    finally:
        if process.poll() is None:
            process.kill()
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()
        process.wait()


def run_load(plan: Plan) -> Outcome:
    """The outcome of a plan that is run to its end."""
    with loading(plan) as load:
        return load.outcome()
