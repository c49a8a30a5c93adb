"""The whole loop on a small slice of the real corpus: real assets, real API, real sensors."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import dagster as dg
import pytest

from ml_assets.core.assets import legible
from ml_assets.core.settings import ROOT, Settings
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.tables import audits_schema, outcomes_schema
from ml_assets.monitoring.parity import ParityReports
from ml_assets.registry.deployments import Deployments
from ml_assets.registry.models import ModelRegistry
from ml_assets.systems.spam import SPAM
from tests.pages import shown

OUTCOMES = outcomes_schema(SPAM)

pytestmark = [pytest.mark.slow, pytest.mark.corpus]

DAYS = 5
"""Enough for silence to speak and, after its cooldown, for the feedback sensor to fire."""


def ml_assets(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ml_assets.cli", *arguments], capture_output=True, text=True,
        env={**os.environ, "ML_ASSETS_VAR": str(settings.var)}, check=False, cwd=ROOT,
    )


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(var=tmp_path_factory.mktemp("loop") / "var")


@pytest.fixture(scope="module")
def summary(installation: Settings) -> str:
    """The output of the main job over the first live days, which one interrupt has cut in two."""
    command = [sys.executable, "-m", "ml_assets.cli", "run", "spam", "--days", str(DAYS)]
    environment = {**os.environ, "ML_ASSETS_VAR": str(installation.var)}
    run = subprocess.Popen(command, env=environment, cwd=ROOT, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 300
    while served(installation) < 30 and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    run.send_signal(signal.SIGINT)
    stopped = run.communicate(timeout=60)[0]
    assert run.returncode == 130, stopped
    assert "resumes from here" in stopped
    finished = ml_assets(installation, "run", "spam", "--days", str(DAYS))
    assert finished.returncode == 0, finished.stderr
    assert "training the first model" not in finished.stdout
    return finished.stdout


def served(settings: Settings) -> int:
    if not settings.event_log.exists():
        return 0
    log = EventLog(settings.event_log)
    predictions, _ = log.count("spam")
    log.close()
    return predictions


@pytest.fixture(scope="module")
def log(installation: Settings, summary: str) -> Iterator[EventLog]:
    opened = EventLog(installation.event_log)
    yield opened
    opened.close()


def test_every_mail_is_answered_once_although_the_replay_was_interrupted(
    installation: Settings, summary: str, log: EventLog
) -> None:
    """316 mails arrived on these days; the interrupt lost none and repeated none."""
    predictions, feedback = log.count("spam")
    assert predictions == 316
    assert feedback > 0
    assert re.search(r"predictions served +316\n", summary)


def test_every_vector_that_was_served_is_recomputed_bit_by_bit(
    installation: Settings, summary: str
) -> None:
    """Parity is proved, not hoped: all were checked and none differs."""
    days = [ParityReports(installation, SPAM).read(day) for day in Lake(
        installation.lake).days("spam", "outcomes")]
    found = [day for day in days if day is not None]
    assert sum(day.checked for day in found) == 316
    assert sum(day.unexplained + day.without_position for day in found) == 0


def test_feedback_became_labels_and_outcomes(installation: Settings, summary: str) -> None:
    """Both complaints and silence have spoken within five days."""
    outcomes = Lake(installation.lake).read("spam", "outcomes", OUTCOMES)
    assert {"feedback", "silence"} <= set(outcomes["basis"])


def test_the_reader_s_audits_are_answered_and_told(installation: Settings, summary: str) -> None:
    """A tenth of what silence has spoken of, with its propensity, at the end and in the status."""
    audits = Lake(installation.lake).read("spam", "audits", audits_schema(SPAM))
    assert 10 <= len(audits) <= 40 and audits["wrong"].notna().all()
    assert set(audits["propensity"]) == {0.1}
    for told in (summary, ml_assets(installation, "status", "spam").stdout):
        assert re.search(rf"audits +{len(audits)} answered: \d+\.\d% wrong \[", told)


def test_the_feedback_sensor_retrained_and_the_verdict_is_recorded(
    installation: Settings, summary: str
) -> None:
    """A second version was trained, judged on later mail beside the first, and shipped or not."""
    versions = ModelRegistry(installation).versions("spam")
    assert len(versions) == 2
    report = ModelRegistry(installation).evaluation("spam", 2)
    assert report is not None and report["champion"] == 1
    history = Deployments(installation.deployments).history("spam")
    assert history[0].version == 1 and history[0].reason


def test_a_version_says_what_it_was_trained_on(
    installation: Settings, summary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training set, days, feature service, Dagster run and commit are tags of the version."""
    tags = ModelRegistry(installation).get("spam", 1).tags
    assert TrainingSets(installation, SPAM).load(tags["data_version"]).labels > 1000
    assert tags["feature_service"] == "spam_filter"
    assert tags["first_day"] == "2002-07-28"
    monkeypatch.setenv("DAGSTER_HOME", str(installation.dagster_home))
    with dg.DagsterInstance.get() as instance:
        run = instance.get_run_by_id(tags["dagster_run_id"])
    assert run is not None and run.job_name == "spam_retraining"


def test_pages_show_legible_numbers_and_who_launched_a_run(
    installation: Settings, summary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No asset shows 0.0179139475456013, and no run of the replay reads "Manually launched"."""
    monkeypatch.setenv("DAGSTER_HOME", str(installation.dagster_home))
    with dg.DagsterInstance.get() as instance:
        assets = [key for key in instance.get_asset_keys() if key.path[0] == "spam"]
        shown_values = [
            (key, name, value.value)
            for key in assets for record in instance.fetch_materializations(key, limit=50).records
            if record.asset_materialization is not None
            for name, value in record.asset_materialization.metadata.items()
        ]
        tags = [run.tags for run in instance.get_runs()]
    assert len(assets) > 10
    assert [each for each in shown_values if legible(each[2]) != each[2]
            and isinstance(each[2], float)] == []
    launched = {"user", "dagster/schedule_name", "dagster/sensor_name"}
    assert all(launched & each.keys() for each in tags)
    assert "spam_daily_schedule" in {each.get("dagster/schedule_name") for each in tags}


def test_running_again_serves_nothing_twice(installation: Settings, summary: str) -> None:
    """The main job is safe to repeat: it finds everything done and prints the summary."""
    again = ml_assets(installation, "run", "spam", "--days", str(DAYS))
    assert again.returncode == 0, again.stderr
    assert served(installation) == 316
    assert "this run served nothing new" in again.stdout


def test_status_and_explain_tell_the_whole_story(
    installation: Settings, summary: str, log: EventLog
) -> None:
    """From the prediction back to the training set and the reason why it was in traffic."""
    status = ml_assets(installation, "status", "spam")
    assert "316 predictions" in status.stdout and "labels matured" in status.stdout
    first = next(log.predictions("spam", SPAM.calendar.live_from,
                                 installation.clock_of("spam").now()))
    told = ml_assets(installation, "explain", first.prediction_id).stdout
    for word in ("is_spam", "training set", "sender_spam_rate_60d", "the first model", "outcome"):
        assert word in told
    traced = ml_assets(installation, "trace", first.event_id).stdout
    commands = {each.words[1]: each.output for each in shown("docs/feedback.md")
                if each.words[0] == "ml-assets"}
    for output, page in ((told, commands["explain"]), (traced, commands["trace"])):
        names, shown_names = (re.findall(r"^(\w[\w ]*?)  ", text, re.M) for text in (output, page))
        assert [name for name in shown_names if name != "judged"] == [
            name for name in names if name in shown_names and name != "judged"]
    lost = ml_assets(installation, "explain", "nothing")
    assert lost.returncode == 1 and "there is no prediction 'nothing'" in lost.stderr


@pytest.mark.parametrize("page", ["README.md", "docs/features.md"])
def test_the_feast_command_line_answers_as_the_pages_show(
    page: str, installation: Settings, summary: str, tmp_path: Path
) -> None:
    """Every `feast` command as it stands, and all that it prints but the values of features."""
    repository = tmp_path / "feature_repo"
    repository.mkdir()
    for name in ("feature_store.yaml", "definitions.py"):
        (repository / name).write_text(
            (ROOT / "feature_repo" / name).read_text().replace("../var", str(installation.var))
        )
    feast = [str(Path(sys.executable).parent / "feast"), "-c", str(repository)]
    commands = [each for each in shown(page) if each.words[0] == "feast"]
    assert len(commands) == 4
    for each in commands:
        done = subprocess.run([*feast, *each.words[1:]], capture_output=True, text=True,
                              check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
        assert done.returncode == 0, done.stderr[-2000:]
        if each.output.startswith(("{", "[")):
            start = done.stdout.index(each.output.splitlines()[0] + "\n")
            found = json.loads(done.stdout[start:])
            assert without_values(found) == without_values(json.loads(each.output))
        else:
            assert " ".join(each.output.split()) in " ".join(
                click.unstyle(done.stdout).split())


def without_values(answer: Any) -> Any:
    """Names, texts and shape; of a number only whether there is one."""
    if isinstance(answer, dict):
        return {name: without_values(value) for name, value in answer.items()}
    if isinstance(answer, list):
        return [without_values(value) for value in answer]
    return bool(answer) if isinstance(answer, (int, float)) else answer
