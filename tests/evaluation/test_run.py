"""Candidates and champions judged end to end: real models, a real registry, real assets."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from ml_assets.core.assets import key
from ml_assets.core.errors import NotReady
from ml_assets.core.policies import Gate
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.truths import Recorded
from ml_assets.evaluation import assets as evaluation
from ml_assets.evaluation.report import EvaluationReport
from ml_assets.evaluation.run import evaluate_candidate, opponent_of
from ml_assets.features.training_sets.stored import TrainingSet
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.registry import assets as registry_assets
from ml_assets.registry.deployments import Deployment, Deployments
from ml_assets.registry.models import ModelRegistry, ModelVersion
from ml_assets.targets import Classes
from ml_assets.training.run import train
from tests.made_sets import stored
from tests.toy import TOY

AT = datetime(2024, 1, 8, tzinfo=UTC)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One MLflow for all: making its tables takes two seconds. Systems differ by name."""
    return Settings(var=tmp_path_factory.mktemp("evaluation") / "var")


def named(name: str) -> System:
    return replace(TOY, name=name)


def training_set(version: str = "v1", rows: int = 200) -> TrainingSet:
    """Purchases whose note says, mostly, whether they are returned."""
    generator = np.random.default_rng(0)
    label = generator.random(rows) < 0.4
    said = np.where(generator.random(rows) < 0.9, label, ~label)
    frame = pd.DataFrame({
        "event_id": [f"e{place}" for place in range(rows)],
        "event_timestamp": pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC"),
        "label": label,
        "known_at": AT,
        "split": np.where(np.arange(rows) < 0.7 * rows, "train", "holdout"),
        "shop": "corner",
        "note": np.where(said, "it is broken", "it is lovely"),
        "amount": generator.random(rows) * 100,
        "shop_returns": np.where(generator.random(rows) < 0.2, np.nan, said * 1.0),
    })
    return TrainingSet(
        version=version, as_of=AT, feature_names=("amount", "shop_returns"),
        texts=("note",), partitions=(date(2024, 1, 1), date(2024, 1, 8)),
        feature_service="toy_returns", labels=rows, events_lacking=0, path=stored(frame),
    )


def trained(system: System, data: TrainingSet, settings: Settings) -> ModelVersion:
    version, _ = train(system, data, ModelRegistry(settings), tags={"dagster_run_id": "run"})
    return version


def judged(system: System, data: TrainingSet, settings: Settings) -> EvaluationReport:
    return evaluate_candidate(
        system, data, ModelRegistry(settings), Deployments(settings.deployments)
    ).report


def deploy(system: System, version: int, settings: Settings) -> Deployment:
    return Deployments(settings.deployments).promote(
        system.name, version, reason="tests", by="tests", at=AT
    )


def test_a_first_candidate_is_judged_alone_and_its_report_is_stored(settings: Settings) -> None:
    system, data = named("first"), training_set()
    _, took = train(system, data, ModelRegistry(settings), tags={"dagster_run_id": "run"})
    assert took.difference <= 1e-5, "what is judged and served is what torch trained"
    report = judged(system, data, settings)
    assert (report.candidate, report.champion, report.data_version) == (1, None, "v1")
    assert report.metrics.rows == 60
    assert report.passed
    stored = ModelRegistry(settings).evaluation("first", 1)
    assert stored is not None
    assert EvaluationReport.from_json(stored) == report


def test_an_equal_candidate_is_left_to_live_outcomes(settings: Settings) -> None:
    system, data = named("equal"), training_set()
    for _ in range(2):
        trained(system, data, settings)
    deploy(system, 1, settings)
    report = judged(system, data, settings)
    assert (report.candidate, report.champion) == (2, 1)
    better = report.gates[-1]
    assert better.passed
    assert "equals version 1's" in better.says
    assert report.largest_loss is not None and 0 < report.largest_loss < 10


def test_judging_again_after_the_deployment_gives_the_same_report(settings: Settings) -> None:
    system, data = named("again"), training_set()
    for _ in range(2):
        trained(system, data, settings)
    deploy(system, 1, settings)
    before = judged(system, data, settings)
    deploy(system, 2, settings)
    assert judged(system, data, settings) == before


def test_a_candidate_of_another_training_set_is_not_judged(settings: Settings) -> None:
    system = named("other_data")
    with pytest.raises(NotReady, match="materialise other_data/model first"):
        judged(system, training_set(), settings)
    trained(system, training_set("v1"), settings)
    with pytest.raises(NotReady, match="trained on training set v1, but the latest is v2"):
        judged(system, training_set("v2"), settings)


def test_a_training_set_that_holds_nothing_out_judges_nobody(settings: Settings) -> None:
    system, data = named("nothing_out"), training_set()
    trained(system, data, settings)
    data = replace(data, path=stored(data.rows[data.rows["split"] == "train"]))
    with pytest.raises(NotReady, match="training set v1 of 'nothing_out' holds nothing out"):
        judged(system, data, settings)


def test_a_champion_is_scored_without_the_columns_that_are_gone(settings: Settings) -> None:
    system, data = named("gone"), training_set()
    trained(system, data, settings)
    deploy(system, 1, settings)
    lean = replace(data, version="v2", feature_names=("amount",),
                   path=stored(data.rows.drop(columns=["shop_returns"])))
    trained(system, lean, settings)
    evaluated = evaluate_candidate(
        system, lean, ModelRegistry(settings), Deployments(settings.deployments)
    )
    assert evaluated.absent == ("shop_returns",)
    assert evaluated.report.champion == 1


def test_a_version_whose_answers_meant_something_else_is_no_opponent(settings: Settings) -> None:
    """It is not served either: else nothing could follow it once the target is changed."""
    before, data = named("renamed"), training_set()
    trained(before, data, settings)
    deploy(before, 1, settings)
    now = replace(before, target=Classes(name="fate", classes=("kept", "returned")), gates=(),
                  scores_by=None, truth=Recorded(source="buyer", within=timedelta(days=1)))
    told = replace(data, version="v2", path=stored(data.rows.assign(
        label=np.where(data.rows["label"], "returned", "kept"))))
    trained(before, replace(data, version="v2"), settings)
    with pytest.raises(NotReady, match=r"version 2 .* was trained to predict another target"):
        judged(now, told, settings)
    trained(now, told, settings)
    report = judged(now, told, settings)
    assert (report.candidate, report.champion, report.passed) == (3, None, True)


def test_the_opponent_is_what_is_in_force_or_what_the_candidate_replaced() -> None:
    def deployed(version: int, previous: int | None) -> Deployment:
        return Deployment(id=version, system="toy", version=version, previous=previous,
                          reason="r", by="b", at=AT)

    assert opponent_of(1, []) is None
    assert opponent_of(1, [deployed(1, None)]) is None
    assert opponent_of(3, [deployed(1, None)]) == 1
    assert opponent_of(3, [deployed(1, None), deployed(3, 1)]) == 1


def materialised(
    system: System, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> dg.ExecuteInProcessResult:
    monkeypatch.setattr(TrainingSets, "latest", lambda self: training_set())
    return dg.materialize(
        [*evaluation.build(system), *registry_assets.build(system)],
        resources={"settings": settings}, raise_on_error=False,
    )


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {check.check_name: check.passed for check in result.get_asset_check_evaluations()}


def test_a_good_first_model_flows_into_deployment_and_an_equal_second_into_its_shadow(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = named("flows")
    trained(system, training_set(), settings)
    first = materialised(system, settings, monkeypatch)
    assert first.success
    assert checks(first) == {"roc_auc_floor": True, "log_loss_better": True,
                             "candidate_came_in": True}
    metadata = first.asset_materializations_for_node("flows__deployment")[0].metadata
    assert metadata["version"].value == 1
    assert str(metadata["reason"].value).startswith("the first model, all 2 gates passed: roc_auc")

    trained(system, training_set(), settings)
    second = materialised(system, settings, monkeypatch)
    assert second.success
    assert checks(second) == {"roc_auc_floor": True, "log_loss_better": True,
                              "candidate_came_in": True}
    current = Deployments(settings.deployments).current("flows")
    assert current is not None
    assert (current.version, current.shadows) == (1, (2,))
    assert ModelRegistry(settings).aliased("flows", "champion") == 1


def test_a_candidate_above_a_ceiling_stops_before_the_deployment(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = replace(named("ceiling"), gates=(Gate(metric="log_loss", at_most=0.0),))
    trained(system, training_set(), settings)
    result = materialised(system, settings, monkeypatch)
    assert not result.success
    assert checks(result) == {"log_loss_ceiling": False}
    assert Deployments(settings.deployments).current("ceiling") is None


def test_the_page_of_an_evaluation_stays_small(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = named("page")
    trained(system, training_set(), settings)
    result = materialised(system, settings, monkeypatch)
    metadata = result.asset_materializations_for_node("page__evaluation")[0].metadata
    numeric = {name for name, value in metadata.items() if isinstance(value.value, int | float)}
    assert {"dagster/row_count", "roc_auc", "log_loss", "recall_at_fpr_0_5pc",
            "candidate"} <= numeric
    assert len(str(metadata["curves"].value)) < 1000
    assert all(path.stat().st_size < 50_000 for path in settings.plots.rglob("*.png"))
    assert result.asset_materializations_for_node("page__evaluation")[0].asset_key == key(
        system, "evaluation")
