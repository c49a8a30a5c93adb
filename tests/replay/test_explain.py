"""From a prediction back to the raw rows, and from a raw row to all it touched: on real stores."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from ml_assets.cli import main
from ml_assets.core.time import day_bounds
from ml_assets.features.manifest import load_manifest
from ml_assets.features.online_load import load_view
from ml_assets.features.training_sets.stored import TrainingSet
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.ingest.events import parse_raw, raw_from_log
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.served import prediction_id
from ml_assets.ingest.tables import QUARANTINE, events_schema, raw_schema
from ml_assets.monitoring.trace import trace
from ml_assets.registry.tracking import runs
from tests.features.recorded import record
from tests.places import file_of
from tests.serving.kit import problem, serving
from tests.serving.test_real_stores import DAYS, NOW, SMALL, Real, asked, register_a_model
from tests.toy import TOY

RAW = raw_schema(TOY)

pytestmark = pytest.mark.slow

TODAY = NOW.date()


@dataclass(frozen=True, kw_only=True)
class Installation:
    """Six recorded days, a model trained on a set of them, twelve answers of today, taken in."""

    real: Real
    api: httpx.Client
    training_set: TrainingSet
    answers: list[dict[str, Any]]

    @property
    def log(self) -> closing[EventLog]:
        return closing(EventLog(self.real.settings.event_log))

    def ml_assets(self, *arguments: str, var: Path | None = None) -> Result:
        environment = {"ML_ASSETS_VAR": str(var or self.real.settings.var)}
        return CliRunner().invoke(main, list(arguments), env=environment)

    def told(self, *arguments: str, var: Path | None = None) -> str:
        result = self.ml_assets(*arguments, var=var)
        assert result.exit_code == 0, result.output
        return result.output

    def explained(self, answer: dict[str, Any]) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.told("explain", answer["prediction_id"], "--json"))
        return told

    def traced(self, event_id: str) -> dict[str, Any]:
        [told] = json.loads(self.told("trace", event_id, "--system", "spam", "--json"))
        found: dict[str, Any] = told
        return found


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    from ml_assets.core.settings import Settings

    real = Real(settings=Settings(var=tmp_path_factory.mktemp("explained")))
    settings, lake = real.settings, Lake(real.settings.lake)
    record(settings, SMALL, DAYS)
    for day in DAYS:
        events = lake.read("spam", "events", events_schema(SMALL), start=day,
                           end=day + timedelta(days=1))
        raw = events.assign(accepted_at=events["event_timestamp"], request="{}", outcome=None,
                            outcome_known_at=None, problem=None)
        lake.write("spam", "raw", day, raw, RAW)
    views = load_manifest(settings).service(SMALL).views
    for view in views:
        load_view(settings, view, DAYS)
    training_set = TrainingSets(settings, SMALL).build(NOW)
    version = register_a_model(settings, settings.var / "new_model")
    client = runs.connect(settings)
    for name, value in {"data_version": training_set.version, "first_day": "2002-07-28",
                        "last_day": "2002-07-31", "as_of": NOW.isoformat(),
                        "git_commit": "0123456789abcdef"}.items():
        client.set_model_version_tag("spam", str(version), name, value)
    real.deployments.promote("spam", version, reason="it passed every gate", by="test", at=NOW)
    with serving(real) as api:
        answers = [api.post("/v1/spam/predict", json=asked(n)).json() for n in range(12)]
        for source, label in (("recipient", False), ("stranger", True)):
            api.post("/v1/spam/feedback", json={
                "prediction_id": answers[0]["prediction_id"], "label": label, "source": source})
        with closing(EventLog(settings.event_log)) as log:
            raw = raw_from_log(list(log.predictions("spam", *day_bounds(TODAY))))
        # One that was set aside after all: the contract has become stricter meanwhile.
        lake.write("spam", "raw", TODAY, raw, RAW)
        usable = raw[raw["event_id"] != "m11"]
        lake.write("spam", "events", TODAY, parse_raw(SMALL, usable).events, events_schema(SMALL))
        aside = pd.DataFrame([("m11", NOW, "it is too strange", "{}")], columns=QUARANTINE.names)
        lake.write("spam", "quarantine", TODAY, aside, QUARANTINE)
        yield Installation(real=real, api=api, training_set=training_set, answers=answers)


# --- from a prediction back ---------------------------------------------------------------


def test_an_explanation_leads_back_to_the_training_set_and_the_decision(
    installation: Installation,
) -> None:
    """For the API and the command line alike."""
    answer = installation.answers[0]
    told = installation.explained(answer)
    assert told["model"] == {
        "version": 1, "training_set": installation.training_set.version,
        "first_day": "2002-07-28", "last_day": "2002-07-31", "as_of": NOW.isoformat(),
        "feature_service": None, "git_commit": "0123456789abcdef", "dagster_run": None,
        "mlflow_run": told["model"]["mlflow_run"], "problem": None,
    }
    assert told["decision_behind"] == {
        "at": "2002-08-03T09:00:00Z", "by": "test", "reason": "it passed every gate",
    }
    assert told["request"] == asked(0)["event"]
    assert (told["score"], told["features_as_of"]) == (answer["score"], answer["features_as_of"])
    served = installation.api.get(f"/v1/spam/predictions/{answer['prediction_id']}").json()
    assert served == {name: told[name] for name in served}


def test_the_rows_that_made_the_features_are_as_many_as_the_features_count(
    installation: Installation,
) -> None:
    """The law: what is listed is what was counted, for every entity that has a history."""
    counted = 0
    for answer in installation.answers:
        address = f"/v1/spam/predictions/{answer['prediction_id']}/rows"
        rows = installation.api.get(address).json()["rows"]
        told = installation.explained(answer)
        assert rows == told["rows"]
        assert all(row["event_timestamp"] < told["features_as_of"] for row in rows)
        for key in SMALL.keys:
            of_key = [row for row in rows if list(row["key"]) == [key]]
            events = {row["event_id"] for row in of_key if row["table"] == "events"}
            labels = [row for row in of_key if row["table"] == "labels"]
            features = told["features"]
            assert len(events) == (features[f"{key}_events_30d"] or 0)
            assert len(labels) == (features[f"{key}_labelled_60d"] or 0)
            assert sum(row["label"] for row in labels) == (features[f"{key}_spam_60d"] or 0)
            counted += len(of_key)
    assert counted > 50


def test_an_explanation_reads_well(installation: Installation) -> None:
    told = installation.told("explain", installation.answers[0]["prediction_id"])
    for expected in (
        f"trained on training set {installation.training_set.version} (2002-07-28 to 2002-07-31",
        "it passed every gate", "by test", "sender_domain_events_30d = ",
        "recipient (reader): False", "stranger (anonymous): True, does not count",
        "so a trusted source (reader) says so", "False (feedback, known 2002-08-03 09:00:00",
        "events of sender_domain sender_domain-0, by", "different rows (--rows shows all)",
    ):
        assert expected in told, told
    everything = installation.told("explain", installation.answers[0]["prediction_id"], "--rows")
    assert len(everything.splitlines()) > len(told.splitlines())
    assert "--rows shows all" not in everything


def test_a_server_goes_on_saying_what_it_was_told_of_a_version(
    installation: Installation,
) -> None:
    about = installation.answers[0]["prediction_id"]
    kept = installation.api.get(f"/v1/spam/predictions/{about}").json()["model"]
    database = file_of(installation.real.settings.mlflow_database)
    moved = database.rename(database.with_suffix(".away"))
    try:
        again = installation.api.get(f"/v1/spam/predictions/{about}").json()["model"]
    finally:
        moved.rename(database)
    assert again == kept and kept["problem"] is None


def test_once_the_loss_of_mlflow_is_accepted_the_explanation_says_so_and_goes_on(
    installation: Installation, tmp_path: Path
) -> None:
    about = installation.answers[0]["prediction_id"]
    copy = shutil.copytree(installation.real.settings.var, tmp_path / "var")
    installation.told("explain", about, var=copy)
    shutil.rmtree(copy / "mlflow")
    refused = installation.ml_assets("explain", about, var=copy)
    assert refused.exit_code == 1 and "doctor --give-up mlflow/mlflow.sqlite" in refused.output
    for lost in ("mlflow/mlflow.sqlite", "mlflow/artifacts"):
        installation.ml_assets("doctor", "--give-up", lost, var=copy)
    told = installation.told("explain", about, var=copy)
    assert "its origin is not known: MLflow cannot be asked: it has no database" in told
    assert "it passed every gate" in told
    traced = installation.told("trace", "m0", var=copy)
    assert "not told       models: MLflow cannot be asked" in traced


def test_a_prediction_that_was_not_deployed_is_told_so(installation: Installation) -> None:
    """Somebody scored by hand, or the record was lost."""
    with installation.log as log:
        [known] = [p for p in [log.answer_to("spam", "m1")] if p is not None]
        by_hand = prediction_id("spam", "by-hand")
        log.append([replace(known, prediction_id=by_hand, event_id="by-hand", model_version=7)])
    told = installation.told("explain", by_hand)
    assert "not deployed when it answered" in told
    assert "there is no version of model 'spam' '7'" in told


def test_the_rows_of_an_unknown_prediction_are_a_404(installation: Installation) -> None:
    problem(installation.api.get("/v1/spam/predictions/none/rows"), 404, "not_found")


# --- from a raw row on --------------------------------------------------------------------


def test_what_counted_an_event_is_what_its_explanations_list(installation: Installation) -> None:
    """The law: both directions agree, for every event and every prediction."""
    listed = {
        answer["prediction_id"]: {
            (row["event_id"], row["view"]) for row in installation.explained(answer)["rows"]
        }
        for answer in installation.answers[:11]
    }
    lake = Lake(installation.real.settings.lake)
    recorded = lake.read("spam", "events", events_schema(SMALL), columns=["event_id"])
    with installation.log as log:
        for event_id in recorded["event_id"]:
            [found] = trace(installation.real.settings, SMALL, log, event_id)
            assert {each.prediction_id: set(each.views) for each in found.counted_in
                    if each.prediction_id in listed} == {
                prediction_id: views for prediction_id, rows in listed.items()
                if (views := {view for of, view in rows if of == event_id})
            }


def test_a_recorded_event_leads_to_its_training_set_and_model(
    installation: Installation,
) -> None:
    rows = installation.training_set.rows
    for split, word in (("train", "learnt from it"), ("holdout", "was judged by it")):
        event_id = str(rows.loc[rows["split"] == split, "event_id"].iloc[0])
        told = installation.traced(event_id)
        assert told["prediction_id"] is None
        [found] = told["training_sets"]
        assert found.pop("models")["1"] >= len(installation.answers)
        assert found == {
            "version": installation.training_set.version, "as_of": "2002-08-03T09:00:00Z",
            "split": split, "label": told["labels"][-1]["label"],
        }
        assert word in installation.told("trace", event_id)


def test_a_trace_knows_the_same_labels_as_an_explanation(installation: Installation) -> None:
    """Also of a day that the lake has not taken in: both read the log."""
    seen = []
    for number, answer in enumerate(installation.answers):
        outcomes = installation.explained(answer)["outcomes"]
        assert installation.traced(f"m{number}")["labels"] == outcomes
        seen += outcomes
    assert [(each["label"], each["basis"]) for each in seen] == [(False, "feedback")]
    assert "False (feedback, known 2002-08-03" in installation.told("trace", "m0")


def test_a_live_event_leads_to_its_answer_and_one_set_aside_to_the_reason(
    installation: Installation,
) -> None:
    told = installation.traced("m3")
    assert told["prediction_id"] == installation.answers[3]["prediction_id"]
    assert (told["day"], told["training_sets"], told["problems"]) == (str(TODAY), [], [])
    assert "set aside: it is too strange" in installation.told("trace", "m11")


def test_an_event_that_was_not_taken_in_yet_is_found_in_the_log(
    installation: Installation,
) -> None:
    installation.api.post("/v1/spam/predict", json=asked(99))
    told = installation.told("trace", "m99")
    assert "not in the lake yet" in told
    assert "the features of no prediction so far" in told


def test_an_event_that_nobody_saw_is_named(installation: Installation) -> None:
    result = installation.ml_assets("trace", "nothing")
    assert result.exit_code == 1
    assert "no system has seen an event 'nothing'" in result.output
    assert "Looked in: spam" in result.output
    assert "Traceback" not in result.output


def test_what_counted_an_event_of_an_open_day_is_told_from_both_ends(
    installation: Installation,
) -> None:
    """Neither an explanation nor a trace waits until the lake has the day."""
    first = installation.api.post(
        "/v1/spam/predict", json={**asked(75), "event_id": "open-1"}).json()
    installation.real.clock.set(NOW + timedelta(minutes=1))
    second = installation.api.post(
        "/v1/spam/predict", json={**asked(75), "event_id": "open-2"}).json()
    told = installation.explained(second)
    for key in SMALL.keys:
        listed = [row["event_id"] for row in told["rows"]
                  if list(row["key"]) == [key] and row["table"] == "events"]
        assert len(listed) == (told["features"][f"{key}_events_30d"] or 0)
        assert "open-2" not in listed
    views = {row["view"] for row in told["rows"] if row["event_id"] == "open-1"}
    assert views
    counted = {each["prediction_id"]: each for each in installation.traced("open-1")["counted_in"]}
    assert set(counted[second["prediction_id"]]["views"]) == views
    assert first["prediction_id"] not in counted
