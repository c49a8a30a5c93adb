"""The evaluation report: both models on all held-out rows and on each slice, and the verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.errors import ContractViolation
from ml_assets.core.system import System
from ml_assets.core.target import Bools, Floats, Target
from ml_assets.evaluation.comparison import compare
from ml_assets.evaluation.gates import Part, Verdict, judge
from ml_assets.evaluation.slices import rows_of
from ml_assets.evaluation.subjects import subjects_of
from ml_assets.targets.stored import as_json

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 2
"""Since 2 a report says its target."""
BOUNDED_SHARE = 0.995


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A model version and its outputs for the N rows, (N, W)."""

    version: int
    outputs: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedRows:
    """The codes (N,) of N rows, what they are about, and the outputs (N, W) of both models."""

    codes: Floats
    subjects: Subjects
    candidate: Floats
    champion: Floats | None


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """What an evaluation found, as it is stored beside the candidate.

    candidate, champion: versions; data_version: of the training set whose held-out part was
    scored; target: as it was declared then; metrics: of all its rows; slices: of the declared
    parts of it. largest_loss: what a single case counts at most in a comparison by live outcomes,
    None of reports of before; see `loss_bound`.
    """

    format: int
    system: str
    candidate: int
    champion: int | None
    data_version: str
    target: dict[str, Any]
    metrics: Part
    slices: dict[str, Part]
    gates: tuple[Verdict, ...]
    largest_loss: float | None = None

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

    rows: `label`, all columns that the slices' conditions read, and what `subjects_of` reads, in
        the order of the outputs.

    The order of the rows does not matter. Raises ContractViolation if outputs are not what the
    target allows, or not as many as the rows; DeclarationError if a slice's condition fails.
    """
    for scored in (candidate, champion):
        if scored is not None:
            _require_outputs(system.target, scored, len(rows))
    judged = JudgedRows(
        codes=system.target.codes(rows["label"].tolist()),
        subjects=subjects_of(system.target, rows), candidate=candidate.outputs,
        champion=None if champion is None else champion.outputs)
    whole = _part(system.target, judged, np.ones(len(rows), dtype=bool))
    slices = {part.name: _slice(system.target, judged, rows_of(part, rows))
              for part in system.slices}
    version = None if champion is None else champion.version
    return EvaluationReport(
        format=FORMAT, system=system.name, candidate=candidate.version, champion=version,
        data_version=data_version, target=as_json(system.target),
        metrics=whole, slices=slices,
        gates=tuple(
            judge(gate, whole if gate.slice is None else slices[gate.slice], version)
            for gate in system.gates
        ),
        largest_loss=loss_bound(system.target, judged),
    )


def loss_bound(target: Target, judged: JudgedRows) -> float | None:
    """What a loss is cut down to, so that a single case cannot decide: known before any outcome
    that it is used on.

    Nearly all losses of both models (`BOUNDED_SHARE`) are below it, and so is the mean loss of
    answers that are all the same. Cut losses are losses too, of the same order; and a mean of
    bounded ones needs no assumption about their tail. None without cases.
    """
    if not len(judged.codes):
        return None
    models = [outputs for outputs in (judged.candidate, judged.champion) if outputs is not None]
    same_NW = np.tile(target.constant(judged.codes), (len(judged.codes), 1))
    *lost, usual_C = (target.cases(judged.codes, outputs_NW, judged.subjects).losses
                      for outputs_NW in (*models, same_NW))
    if not len(usual_C):
        return None
    losses, usual = np.concatenate(lost), float(usual_C.mean())
    bound = max(float(np.quantile(losses, BOUNDED_SHARE)), usual)
    return bound if np.isfinite(bound) and bound > 0 else None


def _slice(target: Target, judged: JudgedRows, chosen: Bools) -> Part:
    if target.enough(judged.codes[chosen]):
        return _part(target, judged, chosen)
    return Part(rows=int(chosen.sum()), labels=target.described(judged.codes[chosen]),
                candidate=None, champion=None, better_by=None)


def _part(target: Target, judged: JudgedRows, chosen: Bools) -> Part:
    codes = judged.codes[chosen]
    compared = compare(
        target, codes, judged.candidate[chosen],
        None if judged.champion is None else judged.champion[chosen],
        subjects=judged.subjects.of_rows(chosen),
    )
    return Part(rows=int(chosen.sum()), labels=target.described(codes),
                candidate=compared.candidate, champion=compared.champion,
                better_by=compared.better_by)


def _require_outputs(target: Target, scored: Scored, rows: int) -> None:
    outputs = scored.outputs
    if outputs.shape != (rows, len(target.outputs)):
        raise ContractViolation(
            f"version {scored.version} gave outputs of shape {outputs.shape} for {rows} rows; "
            f"expected {', '.join(target.outputs)} for each"
        )
    wrong = ~target.check(outputs)
    if wrong.any():
        raise ContractViolation(
            f"version {scored.version} answered row {int(wrong.argmax())} with "
            f"{outputs[wrong.argmax()].tolist()}, which {target} does not allow "
            f"({wrong.sum()} such rows)"
        )
