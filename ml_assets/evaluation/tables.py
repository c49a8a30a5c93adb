"""A report as a person reads it: tables, as one record for each row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ml_assets.core.target import Target
from ml_assets.evaluation.comparison import Estimate
from ml_assets.evaluation.gates import Part, number
from ml_assets.evaluation.report import EvaluationReport

Records = list[dict[str, str]]


def gates(report: EvaluationReport) -> Records:
    """One row for each gate: whether it passed, and the sentence that says why."""
    return _table(
        ("gate", "passed", "why"),
        ((gate.name, "yes" if gate.passed else "NO", gate.says) for gate in report.gates),
    )


def metrics(report: EvaluationReport) -> Records:
    """One row for each metric: both models and the candidate's lead, with 95% intervals."""
    part = report.metrics
    rows: list[tuple[str, ...]] = []
    measured = part.candidate or {}
    for metric in measured:
        rows.append((metric, *(
            said(estimates[metric]) if estimates else "-"
            for estimates in (part.candidate, part.champion, part.better_by)
        )))
    champion = "no champion" if report.champion is None else f"version {report.champion}"
    return _table(("metric", f"version {report.candidate}", champion, "better by"), rows)


def slices(report: EvaluationReport, target: Target) -> Records:
    """One row for each slice, all rows first."""
    parts: dict[str, Part] = {"all": report.metrics, **report.slices}
    return _table(
        ("slice", "labels", *target.shown),
        (
            (name, part.labels, *(
                said(part.candidate[metric]) if part.candidate else "too few rows"
                for metric in target.shown
            ))
            for name, part in parts.items()
        ),
    )


def said(estimate: Estimate) -> str:
    """A value with its interval, for people."""
    if estimate.value is None:
        return "-"
    if estimate.low is None:
        return f"{number(estimate.value)} (no interval)"
    return f"{number(estimate.value)} ({number(estimate.low)} to {number(estimate.high)})"


def unsure(part: Part) -> dict[str, list[str]]:
    """The candidate's metrics that have no interval, by why they have none."""
    found: dict[str, list[str]] = {}
    for name, each in (part.candidate or {}).items():
        if each.value is not None and each.low is None:
            found.setdefault(each.why or "too few rows", []).append(name)
    return found


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Records:
    return [dict(zip(head, cells, strict=True)) for cells in rows]

