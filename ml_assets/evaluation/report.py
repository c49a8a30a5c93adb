"""The evaluation report: both models on all held-out rows and on each slice, and the verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ml_assets.core.errors import ContractViolation
from ml_assets.core.system import System
from ml_assets.evaluation.comparison import compare
from ml_assets.evaluation.gates import Part, Verdict, judge
from ml_assets.evaluation.metrics import Floats, Labels
from ml_assets.evaluation.slices import rows_of, too_small

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A model version and its scores of the N rows, (N,): probabilities of True."""

    version: int
    scores: Floats


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """What an evaluation found, as it is stored beside the candidate.

    candidate, champion: versions; data_version: of the training set whose held-out part was
    scored; metrics: of all its rows; slices: of the declared parts of it.
    """

    format: int
    system: str
    candidate: int
    champion: int | None
    data_version: str
    threshold: float
    metrics: Part
    slices: dict[str, Part]
    gates: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        return all(gate.passed for gate in self.gates)

    def to_json(self) -> dict[str, Any]:
        """A JSON object; what cannot be computed is null."""
        return dict(msgspec.to_builtins(self))

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> EvaluationReport:
        """The inverse of `to_json`. Raises ContractViolation for anything else."""
        if stored.get("format") != FORMAT:
            raise ContractViolation(
                f"evaluation report has format {stored.get('format')!r}; expected {FORMAT}: "
                "materialise the evaluation again"
            )
        try:
            return msgspec.convert(dict(stored), cls)
        except msgspec.ValidationError as error:
            raise ContractViolation(f"this is no evaluation report: {error}") from error


def evaluate(
    system: System,
    rows: pd.DataFrame,
    candidate: Scored,
    champion: Scored | None = None,
    *,
    data_version: str = "",
) -> EvaluationReport:
    """Judge a candidate beside the champion on the same N rows, by the system's gates.

    rows: `label` and all columns that the slices' conditions read, in the order of the scores.

    The order of the rows does not matter. Raises ContractViolation if scores are no
    probabilities or not as many as the rows; DeclarationError if a slice's condition fails.
    """
    for scored in (candidate, champion):
        if scored is not None:
            _require_probabilities(scored, len(rows))
    labels = rows["label"].to_numpy(bool)
    whole = _part(system, labels, candidate, champion, np.ones(len(rows), dtype=bool))
    slices = {
        part.name: _slice(system, labels, candidate, champion, rows_of(part, rows))
        for part in system.slices
    }
    version = None if champion is None else champion.version
    return EvaluationReport(
        format=FORMAT, system=system.name, candidate=candidate.version, champion=version,
        data_version=data_version, threshold=system.model.threshold, metrics=whole, slices=slices,
        gates=tuple(
            judge(gate, whole if gate.slice is None else slices[gate.slice], version)
            for gate in system.gates
        ),
    )


def _slice(
    system: System, labels: Labels, candidate: Scored, champion: Scored | None, chosen: Labels
) -> Part:
    if not too_small(labels[chosen]):
        return _part(system, labels, candidate, champion, chosen)
    return Part(rows=int(chosen.sum()), positives=int(labels[chosen].sum()), candidate=None,
                champion=None, better_by=None)


def _part(
    system: System, labels: Labels, candidate: Scored, champion: Scored | None, chosen: Labels
) -> Part:
    compared = compare(
        labels[chosen], candidate.scores[chosen],
        None if champion is None else champion.scores[chosen],
        threshold=system.model.threshold,
    )
    return Part(rows=int(chosen.sum()), positives=int(labels[chosen].sum()),
                candidate=compared.candidate, champion=compared.champion,
                better_by=compared.better_by)


def _require_probabilities(scored: Scored, rows: int) -> None:
    scores = scored.scores
    if scores.shape != (rows,):
        raise ContractViolation(
            f"version {scored.version} gave scores of shape {scores.shape} for {rows} rows"
        )
    wrong = ~((scores >= 0) & (scores <= 1))
    if wrong.any():
        raise ContractViolation(
            f"version {scored.version} scored row {int(wrong.argmax())} as "
            f"{scores[wrong.argmax()]}; expected a probability, 0 to 1 ({wrong.sum()} such rows)"
        )
