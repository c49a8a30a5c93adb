"""What runs the cluster in containers is well formed; nothing here can start a container."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml  # type: ignore[import-untyped]  # comes with Feast, ships no types

from ml_assets.automation.jobs import TRAINING_TAG
from ml_assets.core.profiles.cluster import Cluster
from ml_assets.core.settings import PREFIX, ROOT, VARIABLES

DEPLOY = ROOT / "deploy"
FILES = sorted([*DEPLOY.rglob("*.yml"), *DEPLOY.rglob("*.yaml")])


def documents(path: Path) -> list[Any]:
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


def test_the_compose_file_fits_the_schema_of_compose() -> None:
    schemas = pytest.importorskip("check_jsonschema.builtin_schemas")
    [said] = documents(DEPLOY / "docker-compose.yml")
    jsonschema.validate(said, schemas.get_builtin_schema("vendor.compose-spec"))
    volumes = {name for each in said["services"].values() for name, _, _ in
               (mount.partition(":") for mount in each.get("volumes", []))}
    assert volumes == set(said["volumes"])


def test_the_manifests_have_what_kubernetes_knows_and_nothing_else() -> None:
    models = pytest.importorskip("dagster_k8s.models")
    client = pytest.importorskip("kubernetes.client")
    kinds = {"Deployment": client.V1Deployment, "Service": client.V1Service,
             "PodDisruptionBudget": client.V1PodDisruptionBudget}
    found = documents(DEPLOY / "kubernetes" / "api.yaml")
    for each in found:
        kind = kinds[each["kind"]]
        models.k8s_model_from_dict(kind, models.k8s_snake_case_dict(kind, each))
    [deployment] = [each for each in found if each["kind"] == "Deployment"]
    wrong = {**deployment, "spec": {**deployment["spec"], "replica": 2}}
    with pytest.raises(Exception, match="replica"):
        models.k8s_snake_case_dict(client.V1Deployment, wrong)
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    mounted = {each["name"] for each in container["volumeMounts"]}
    assert mounted == {each["name"] for each in deployment["spec"]["template"]["spec"]["volumes"]}


def test_dagster_s_values_name_our_tags_and_schema() -> None:
    [values] = documents(DEPLOY / "kubernetes" / "dagster-values.yaml")
    limits = values["dagsterDaemon"]["runCoordinator"]["config"]["queuedRunCoordinator"]
    assert [each["key"] for each in limits["tagConcurrencyLimits"]] == [TRAINING_TAG]
    schema = Cluster(postgres="").dagster.schema
    assert values["postgresql"]["postgresqlParams"]["options"] == f"-c search_path={schema}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_variable_of_ours_that_a_file_sets_is_read(path: Path) -> None:
    named = {name for each in documents(path) for name in names_in(each) if
             name.startswith(PREFIX)}
    assert named
    assert named <= {f"{PREFIX}{name}" for name in VARIABLES}


def names_in(said: Any) -> list[str]:
    """All keys, and the values of `name`, at any depth."""
    if isinstance(said, list):
        return [name for each in said for name in names_in(each)]
    if isinstance(said, dict):
        own = [*said, *([said["name"]] if isinstance(said.get("name"), str) else [])]
        return [*map(str, own), *(name for each in said.values() for name in names_in(each))]
    return []
