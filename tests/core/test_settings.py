"""Settings come from the environment, where a typing mistake is easy and does nothing by itself."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.errors import DeclarationError
from ml_assets.core.project import project as the_project
from ml_assets.core.settings import ROOT, VARIABLES, Settings


@pytest.mark.parametrize(("name", "closest"), [
    ("ML_ASSETS_PROT", "ML_ASSETS_PORT"), ("ML_ASSETS_CAHCE", "ML_ASSETS_CACHE"),
    ("ML_ASSETS_VARS", "ML_ASSETS_VAR"), ("ml_assets_port", "ML_ASSETS_PORT"),
    ("ML_ASSET_HOST", "ML_ASSETS_HOST"), ("ML_ASSETS_", "ML_ASSETS_"),
])
def test_a_variable_that_nothing_reads_is_named_with_the_closest(
    name: str, closest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "99")
    with pytest.raises(DeclarationError, match=rf"sets {name}, .* Closest: {closest}"):
        Settings.from_environment()


@given(name=st.text("ABCDEFHOPRSTV_", max_size=12).filter(lambda name: name not in VARIABLES))
def test_no_unknown_variable_passes(name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(f"ML_ASSETS_{name}", "1")
        with pytest.raises(DeclarationError, match="Known: ML_ASSETS_"):
            Settings.from_environment()


def test_every_variable_that_the_code_reads_is_known() -> None:
    read = {name for path in (ROOT / "ml_assets").rglob("*.py")
            for name in re.findall(r"ML_ASSETS_([A-Z]+)", path.read_text())}
    assert read == set(VARIABLES)


@pytest.mark.parametrize("name", ["ML_ASSETS_VAR", "ML_ASSETS_CACHE"])
@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_folder_is_refused_rather_than_the_one_where_one_stands(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(DeclarationError, match=f"{name} is empty"):
        Settings.from_environment()


def test_the_cache_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_CACHE", str(tmp_path / "a"))
    settings = Settings.from_environment()
    monkeypatch.setenv("ML_ASSETS_CACHE", str(tmp_path / "b"))
    assert settings.cache == tmp_path / "a"


def test_folders_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that goes elsewhere, or a child of it, still means the same folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ML_ASSETS_VAR", "here")
    monkeypatch.setenv("ML_ASSETS_CACHE", "./there")
    settings = Settings.from_environment()
    assert (settings.var, settings.cache) == (tmp_path / "here", tmp_path / "there")


# --- profiles -----------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "pyproject.toml").write_text("[tool.ml_assets]\n")
    for name in VARIABLES:  # an instance of Dagster that another test has opened sets some
        monkeypatch.delenv(f"ML_ASSETS_{name}", raising=False)
    monkeypatch.setenv("ML_ASSETS_PROJECT", str(tmp_path))
    the_project.cache_clear()
    yield tmp_path
    the_project.cache_clear()


CLUSTER = """
[profiles.local]
port = 9000
[profiles.cluster]
postgres = "postgresql://ml:secret@db.example/ml"
hosts = ["ml.example", "lab.example:8443"]
var = "here"
objects = "s3://lake.example/ours/"
redis = "redis://ml:secret@redis.example/3"
"""


def test_a_profile_of_the_project_is_chosen_by_name_and_the_environment_counts_more(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "settings.toml").write_text(CLUSTER)
    local = Settings.from_environment()
    assert (local.profile, local.port, local.event_log) == (
        "local", 9000, project / "var" / "event_log.sqlite")
    monkeypatch.setenv("ML_ASSETS_PROFILE", "cluster")
    monkeypatch.setenv("ML_ASSETS_PORT", "9001")
    cluster = Settings.from_environment()
    assert (cluster.profile, cluster.port, cluster.var) == ("cluster", 9001, project / "here")
    assert cluster.hosts == ("ml.example", "lab.example:8443")
    assert cluster.event_log != cluster.deployments
    assert "secret" not in f"{cluster} {cluster.event_log!r} {cluster.event_log}"
    assert "db.example/ml" in str(cluster.event_log)
    assert cluster.lake == project / "here" / "objects" / "lake"
    assert cluster.mlflow_artifact_root == "s3://lake.example/ours/mlflow/artifacts"


DATABASE = "[profiles.cluster]\npostgres = 'postgresql://db'\n"


@pytest.mark.parametrize(("said", "fault"), [
    ("[profiles.cluster]\npostgers = 'postgresql://a:secret@db'", r"'postgers', .* Closest: 'post"),
    ("[profiles.local]\nprot = 1", r"\[profiles\.local\] has 'prot', .* Closest: 'port'"),
    ("[profiles.clutser]\nport = 1", r"has 'clutser', .*expected local, cluster"),
    ("[profile.cluster]\nport = 1", r"has 'profile', .*expected profiles"),
    ("profiles = 3", r"profiles is no table"),
    ("[profiles.cluster]\nport = 1.5", r"\[profiles\.cluster\] port is a float"),
    ("[profiles.cluster]\npostgres = 'mysql://ml:secret@db'", r"POSTGRES is no address"),
    ("[profiles.cluster]\nport = 1", r"needs a database: set ML_ASSETS_POSTGRES"),
    (f"{DATABASE}objects = 's3://Up'", r"no place for objects"),
    (f"{DATABASE}redis = 'http://x:secret@y'", r"REDIS is no address"),
    (f"{DATABASE}objects = 's3://own'\nshared = 'x'", r"SHARED and ML_ASSETS_OBJECTS both say"),
    ("[profiles", r"settings\.toml is no TOML"),
])
def test_what_a_settings_file_says_wrong_is_named_without_its_values(
    project: Path, monkeypatch: pytest.MonkeyPatch, said: str, fault: str
) -> None:
    (project / "settings.toml").write_text(said)
    monkeypatch.setenv("ML_ASSETS_PROFILE", "cluster")
    with pytest.raises(DeclarationError, match=fault) as raised:
        Settings.from_environment()
    assert "secret" not in str(raised.value)


def test_an_unknown_profile_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_PROFILE", "clustre")
    with pytest.raises(DeclarationError, match=r"'clustre'; expected local or cluster"):
        Settings.from_environment()


def test_the_local_profile_imports_no_client_of_a_server() -> None:
    code = ("import sys; import ml_assets.serving.composition; from ml_assets.core.settings import "
            "Settings; Settings.from_environment().event_log;"
            "print([each for each in ('psycopg', 'redis', 'boto3') if each in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          cwd=ROOT)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("address", ["ray://head:1", "head", "head:", "http://head:8265", "a b:1"])
def test_an_address_of_ray_that_is_none_is_refused(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_ASSETS_RAY", address)
    with pytest.raises(DeclarationError, match=r"expected host:port of the head of a Ray cluster"):
        Settings.from_environment()
    monkeypatch.setenv("ML_ASSETS_RAY", " head.lab.example:6379 ")
    assert Settings.from_environment().ray == "head.lab.example:6379"


@pytest.mark.parametrize("name", ["ML_ASSETS_RUNS", "ML_ASSETS_STEPS"])
@pytest.mark.parametrize("address", ["", "local"])
def test_jobs_of_a_cluster_that_nobody_names_are_refused(
    name: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of this machine's own would end with the process that asked."""
    monkeypatch.setenv("ML_ASSETS_RAY", address)
    monkeypatch.setenv(name, "ray")
    with pytest.raises(DeclarationError, match=rf"{name} is 'ray', and ML_ASSETS_RAY is "
                                               rf"'{address}'; set that to host:port of the head"):
        Settings.from_environment()
    monkeypatch.setenv("ML_ASSETS_RAY", "head:6379")
    assert "ray" in (Settings.from_environment().runs, Settings.from_environment().steps)
    monkeypatch.setenv(name, "rai")
    with pytest.raises(DeclarationError, match=f"{name} is 'rai'; expected .* or (ray|kubernetes)"):
        Settings.from_environment()
