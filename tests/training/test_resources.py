"""Clusters give a training the GPUs that its declaration names, and no other run or step any."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest

from ml_assets.automation.jobs import retraining_job
from ml_assets.core.assets import key
from ml_assets.core.model import Minibatch, Model, Numbers, Tabular
from ml_assets.core.system import System
from ml_assets.training.assets import build
from ml_assets.training.resources import RAY, resource_tags
from tests.recorded_toy import WHOLE

Device = Literal["auto", "cpu", "cuda"]


def fitted_on(device: Device, devices: int = 1) -> System:
    return replace(WHOLE, model=Model(
        inputs=(Numbers("amount"),), network=Tabular(),
        fit=Minibatch(device=device, devices=devices)))


def given(tags: Any) -> tuple[float, str]:
    """What dagster-ray and dagster-k8s read in tags: GPUs of a job, a limit of a container."""
    ray = pytest.importorskip("dagster_ray.configs")
    kubernetes = pytest.importorskip("dagster_k8s.job")
    said = kubernetes.get_user_defined_k8s_config(tags).container_config
    return (ray.RayExecutionConfig.from_tags(tags).num_gpus or 0,
            str(said.get("resources", {}).get("limits", {}).get("nvidia.com/gpu", "")))


def model_step(system: System) -> Any:
    [model] = (each for each in build(system) if key(system, "model") in each.keys)
    return model.op.tags


@pytest.mark.parametrize(("system", "ray", "expected"), [
    (fitted_on("cuda"), "", (1, "1")),
    (fitted_on("cuda", 4), "", (4, "4")),
    (fitted_on("cuda"), "head:6379", (1, "1")),
    (fitted_on("cuda", 4), "head:6379", (0, "")),  # its four workers have one each
    (fitted_on("cpu", 4), "", (0, "")),
    (fitted_on("auto"), "", (0, "")),
    (WHOLE, "", (0, "")),
])
def test_the_step_of_the_model_asks_for_the_gpus_that_its_own_process_needs(
    system: System, ray: str, expected: tuple[float, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_ASSETS_RAY", ray)
    assert given(model_step(system)) == expected


def test_a_search_asks_for_all_of_them_because_it_has_no_workers() -> None:
    assert resource_tags(fitted_on("cuda", 2))[RAY] == {"num_gpus": 2}


@pytest.mark.parametrize(("steps", "expected"), [("run", (2, "2")), ("kubernetes", (0, ""))])
def test_a_retraining_asks_itself_unless_its_steps_are_jobs_that_do(
    steps: str, expected: tuple[float, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_ASSETS_STEPS", steps)
    assert given(retraining_job(fitted_on("cuda", 2)).tags) == expected
    assert given(retraining_job(fitted_on("auto", 2)).tags) == (0, "")
