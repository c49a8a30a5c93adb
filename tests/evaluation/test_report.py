"""Laws of the report: whole, stored as JSON, the same whatever the order of the rows."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ml_assets.core.errors import ContractViolation
from ml_assets.core.policies import Gate, Slice
from ml_assets.evaluation import tables
from ml_assets.evaluation.report import EvaluationReport, Scored, evaluate
from ml_assets.targets.stored import as_json
from tests.toy import TOY

SYSTEM = replace(
    TOY,
    slices=(Slice(name="cheap", where="amount < 50", description="less than 50 EUR"),
            Slice(name="free", where="amount < 2", description="less than 2 EUR")),
    gates=(*TOY.gates,
           Gate(metric="roc_auc", at_least=0.999, slice="cheap"),
           Gate(metric="roc_auc", at_least=0.999, slice="free")),
)


def purchases(rows: int = 200) -> pd.DataFrame:
    generator = np.random.default_rng(1)
    return pd.DataFrame({"label": generator.random(rows) < 0.4,
                         "amount": np.linspace(0, 100, rows)})


def scored(rows: pd.DataFrame, version: int, skill: float) -> Scored:
    noise = np.random.default_rng(version).normal(size=len(rows))
    logits = noise + skill * (rows["label"].to_numpy(float) - 0.5)
    return Scored(version=version, outputs=1 / (1 + np.exp(-logits[:, None])))


def report() -> EvaluationReport:
    rows = purchases()
    return evaluate(SYSTEM, rows, scored(rows, 2, 3.0), scored(rows, 1, 2.0), data_version="abc")


def test_a_report_names_what_it_compared() -> None:
    made = report()
    assert (made.system, made.candidate, made.champion) == ("toy", 2, 1)
    assert (made.data_version, made.target) == ("abc", as_json(TOY.target))
    assert made.metrics.rows == 200
    assert made.slices["cheap"].rows == 100


def test_a_gate_on_a_slice_names_it_and_fails_the_report() -> None:
    made = report()
    gates = {gate.name: gate for gate in made.gates}
    assert list(gates) == [gate.name for gate in SYSTEM.gates]
    assert gates["roc_auc_floor"].passed
    assert not gates["roc_auc_floor_cheap"].passed
    assert gates["roc_auc_floor_cheap"].says.startswith("roc_auc on cheap 0.9")
    assert not made.passed


def test_a_slice_with_too_few_rows_is_reported_and_not_judged() -> None:
    made = report()
    assert made.slices["free"].candidate is None
    assert made.slices["free"].rows == 4
    assert made.gates[-1].passed
    assert "too few to judge (4 rows" in made.gates[-1].says


def test_json_gives_the_report_back() -> None:
    made = report()
    text = json.dumps(made.to_json(), allow_nan=False)
    assert EvaluationReport.from_json(json.loads(text)) == made
    assert json.loads(text)["metrics"]["candidate"]["log_loss"]["value"] > 0


@pytest.mark.parametrize("change", [{"format": 0}, {"format": None}, {"gates": 3}])
def test_what_is_no_report_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ContractViolation, match="evaluation report"):
        EvaluationReport.from_json({**report().to_json(), **change})


def test_the_order_of_rows_does_not_matter() -> None:
    rows = purchases()
    one, two = scored(rows, 2, 3.0), scored(rows, 1, 2.0)
    order = np.random.default_rng(0).permutation(len(rows))
    shuffled = evaluate(
        SYSTEM, rows.iloc[order].reset_index(drop=True), replace(one, outputs=one.outputs[order]),
        replace(two, outputs=two.outputs[order]), data_version="abc",
    )
    assert shuffled == report()


@pytest.mark.parametrize("rows", [purchases().assign(label=False), purchases().iloc[:0]])
def test_one_class_or_none_gives_a_report_whose_gates_fail(rows: pd.DataFrame) -> None:
    made = evaluate(SYSTEM, rows, scored(rows, 1, 1.0))
    assert made.metrics.candidate is not None
    assert made.metrics.candidate["roc_auc"].value is None
    assert "roc_auc cannot be computed" in made.gates[0].says
    assert not made.passed
    json.dumps(made.to_json(), allow_nan=False)
    assert any("cannot be computed" in gate["why"] for gate in tables.gates(made))


@pytest.mark.parametrize(("scores", "said"), [
    ([0.1] * 199, r"version 3 gave outputs of shape \(199, 1\) for 200 rows; expected probability"),
    ([0.1] * 199 + [np.nan], r"version 3 answered row 199 with \[nan\], which Binary"),
    ([1.5] * 200, r"version 3 answered row 0 with \[1\.5\], .* \(200 such rows\)"),
])
def test_outputs_that_cannot_be_are_refused(scores: list[float], said: str) -> None:
    with pytest.raises(ContractViolation, match=said):
        evaluate(SYSTEM, purchases(), Scored(version=3, outputs=np.array(scores)[:, None]))


def test_the_tables_show_both_models_and_every_slice() -> None:
    made = report()
    assert list(tables.metrics(made)[0]) == ["metric", "version 2", "version 1", "better by"]
    assert len(tables.metrics(made)) == 9
    labels = {part["slice"]: part["labels"] for part in tables.slices(made, TOY.target)}
    assert labels["free"].startswith("4 rows, ")
    assert "NO" in [gate["passed"] for gate in tables.gates(made)]
