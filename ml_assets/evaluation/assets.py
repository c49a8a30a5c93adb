"""`evaluation`: the candidate beside the champion, with one check for each gate."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets.core.assets import (
    Materialized,
    attributes,
    check_result,
    key,
    keys,
    page,
    plot,
    rows,
    table,
)
from ml_assets.core.policies import Gate
from ml_assets.core.settings import Settings
from ml_assets.core.system import System

if TYPE_CHECKING:
    from ml_assets.evaluation.run import Evaluated


def build(system: System) -> list[Any]:
    return [_evaluation(system)]


def _evaluation(system: System) -> dg.AssetsDefinition:
    @dg.asset(
        key=key(system, "evaluation"),
        deps=keys(system, "training_set", "model"),
        description="The latest candidate beside the champion on the held-out part of the training "
        "set, which is later than all they learnt from: metrics with 95% intervals, slices, and "
        "one check for each declared gate. Source: the training set and the model registry; the "
        "report is stored with the model version, and a model card for people with it.",
        code_version="1",
        check_specs=[_spec(system, gate) for gate in system.gates],
        **attributes(system, "evaluation", "numpy", "mlflow", partitioned=False),
    )
    def evaluation(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        from ml_assets.evaluation.run import evaluate_latest

        evaluated = evaluate_latest(system, settings)
        report = evaluated.report
        if evaluated.absent:
            context.log.warning(
                f"version {report.champion} reads {', '.join(evaluated.absent)}, which no longer "
                "exist: it was scored without them"
            )
        return dg.MaterializeResult(
            metadata=rows(len(evaluated.rows), **_metadata(system, settings, evaluated)),
            check_results=[
                check_result(
                    gate.passed, gate.name,
                    {"says": gate.says, "bound": gate.bound,
                     **({} if gate.value is None else {"value": gate.value})},
                    severity=dg.AssetCheckSeverity.WARN if gate.comparing
                    else dg.AssetCheckSeverity.ERROR,
                )
                for gate in report.gates
            ],
        )

    return evaluation


def _metadata(system: System, settings: Settings, evaluated: "Evaluated") -> dict[str, Any]:
    from ml_assets.evaluation import tables
    from ml_assets.evaluation.card.publishing import published
    from ml_assets.evaluation.run import values

    report = evaluated.report
    card = published(system, settings, report.candidate)
    return {
        "report": page(settings, system, card.page, f"open the report on version {card.version}"),
        "model_card": dg.MetadataValue.md(card.markdown),
        "curves": plot(settings, system, evaluated.figures["overview"],
                       f"how well {system.target.name} is answered"),
        **{name.replace("%", "pc").replace(".", "_"): value
           for name, value in values(report).items()},
        "candidate": report.candidate,
        "training_set": report.data_version,
        "mlflow_page": evaluated.candidate.page,
        "gates": table(tables.gates(report)),
        "metrics": table(tables.metrics(report)),
        "slices": table(tables.slices(report, system.target)),
        **({} if report.champion is None else {"champion": report.champion}),
    }


def _spec(system: System, gate: Gate) -> dg.AssetCheckSpec:
    """A bound on the candidate itself stops the flow; losing to the champion does not.

    The deployment keeps the champion in both cases.
    """
    where = "" if gate.slice is None else f" on slice `{gate.slice}`"
    if gate.better_than_champion_by is not None:
        text = f"better than the champion's by more than {gate.better_than_champion_by:g}"
    elif gate.at_least is not None:
        text = f"at least {gate.at_least:g}"
    else:
        text = f"at most {gate.at_most:g}"
    return dg.AssetCheckSpec(
        gate.name, asset=key(system, "evaluation"),
        blocking=gate.better_than_champion_by is None,
        description=f"`{gate.metric}`{where} of the candidate, on held-out events, is {text}.",
    )
