"""What a system predicts, and everything that depends on its type.

A *label* is what came true, as a Python value: True, "returned late", 37.5. A *code* is the same
as a number, for arithmetic: 1.0, 2.0, 37.5. An *output* is what a model answers for a row: the W
numbers named by `Target.outputs`.

The kinds are in `ml_assets.targets`; no other room knows which of them a system has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ml_assets.core.data.metric import Bools as Bools
from ml_assets.core.data.metric import Cases as Cases
from ml_assets.core.data.metric import Floats as Floats
from ml_assets.core.data.metric import Measured as Measured
from ml_assets.core.data.metric import Metric as Metric
from ml_assets.core.data.scale import Scale as Scale
from ml_assets.core.data.subjects import Subjects
from ml_assets.core.errors import InvalidRequest, NotReady
from ml_assets.core.policies import Gate, require
from ml_assets.core.slates import SlatePolicy

Label = bool | str | float
"""What came true of one event."""

Whole = npt.NDArray[np.int64]


class Target(ABC):
    """One per system. Light, frozen, and free of I/O.

    name: of the label, an identifier: `is_returned`
    """

    name: str

    kind: ClassVar[str]
    """For people: documentation and metadata. Nobody branches on it."""
    lake_type: ClassVar[Literal["bool", "string", "double"]]
    """Of labels and decisions in the lake, as `pyarrow.type_for_alias` spells it."""
    loss: ClassVar[str]
    """The function of `torch.nn.functional` that training minimises."""
    margins: ClassVar[bool] = False
    """Whether a network may be fitted to a margin instead (`Model.loss`), of which `link` makes
    log-odds by the scale's line."""
    variety: ClassVar[str]
    """What must occur among labels to learn from, in words."""
    model_type: ClassVar[Literal["classifier", "regressor"]] = "classifier"
    """What `mlflow.models.evaluate` calls a model that decides for such labels."""

    def __post_init__(self) -> None:
        require(self.name.isidentifier(), self, "name", self.name, "an identifier")

    @property
    @abstractmethod
    def metrics(self) -> Mapping[str, Metric]:
        """By name; the first is the mean loss of `cases`."""

    @property
    @abstractmethod
    def shown(self) -> tuple[str, ...]:
        """The metrics that a summary has room for, the most telling first."""

    @property
    def slates(self) -> SlatePolicy | None:
        """How requests are answered with slates; None if each event has an answer of its own."""
        return None

    @property
    def selects(self) -> bool:
        """Whether the model chooses which rows there are, as a page shows what it ranks highest:
        rows of history, or of another model, are no sample of those that it answers then."""
        return False

    @property
    def entities(self) -> tuple[str, ...]:
        """The event columns that it speaks of; a system must declare them as entities."""
        return ()

    # Labels

    @property
    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """The JSON schema of a label."""

    @abstractmethod
    def label(self, value: object) -> Label:
        """`value` as a label. Raises InvalidRequest: a value of another type is none, 37.5 is not
        True, and nothing is guessed.
        """

    def code(self, label: Label) -> float:
        """A label's number."""
        return float(label)

    @abstractmethod
    def label_of(self, code: float) -> Label:
        """The inverse of `code`."""

    def codes(self, labels: Sequence[Label]) -> Floats:
        """(N,) of N labels."""
        return np.fromiter(map(self.code, labels), np.float64, len(labels))

    @property
    @abstractmethod
    def outputs(self) -> tuple[str, ...]:
        """Names of the W numbers that a model answers for a row, identifiers."""

    @property
    def logits(self) -> int:
        """How many numbers a network gives for a row."""
        return len(self.outputs)

    def require_learnable(self, codes_N: Floats) -> None:
        """Raise NotReady, in words, if nothing can be learnt from these labels."""
        if len(np.unique(codes_N)) < 2:
            found = f", all {self.label_of(codes_N[0])!r}" if len(codes_N) else ""
            raise NotReady(f"the training set has {len(codes_N)} labels of {self.name}{found}; "
                           f"{self.variety} must occur: ingest more days first")

    def scale(self, codes_N: Floats) -> Scale:
        """How the codes of a training set are scaled for the network."""
        return Scale()

    @property
    def carries(self) -> tuple[str, ...]:
        """Numbers that the model reads and that a decision needs: they are its last outputs."""
        return ()

    def wanted(self, codes_N: Floats, scale: Scale) -> Floats:
        """What a network with one logit is fitted to (N,): the codes, scaled."""
        return np.asarray((codes_N - scale.mean) / scale.deviation)

    def apart(self, outputs_NW: Floats, others_NW: Floats, scale: Scale) -> Floats:
        """How far outputs of the same rows are apart, (N, W), as the network sees it."""
        return np.asarray(np.abs(outputs_NW - others_NW) / scale.deviation)

    @abstractmethod
    def link(self, logits_NK: Floats, scale: Scale) -> Floats:
        """The outputs that N rows of logits stand for, without those that `carries` names."""

    def outputs_of(
        self, logits_NK: Floats, scale: Scale, names: Sequence[str],
        dense_ND: npt.NDArray[np.float32],
    ) -> Floats:
        """All outputs (N, W) of N rows of logits.

        names: of the columns (N, D) that the model has read
        """
        linked = self.link(logits_NK, scale)
        if not self.carries:
            return linked
        return np.hstack([linked, *(dense_ND[:, [names.index(name)]] for name in self.carries)])

    def kept_back(self, rows: int) -> int:
        """How many of a training set's rows, its latest, no network sees: `calibrated` needs
        them."""
        return 0

    def calibrated(self, scale: Scale, codes_N: Floats, outputs_NW: Floats) -> Scale:
        """`scale` with what is learnt of the rows that were kept back: what came true, and what
        the model said of them."""
        return scale

    def answers_like(self, other: Target) -> bool:
        """Whether the outputs of a model trained for `other` mean the same."""
        return (self.outputs, self.schema, self.answer_schema) == (
            other.outputs, other.schema, other.answer_schema)

    @abstractmethod
    def check(self, outputs_NW: Floats) -> Bools:
        """Which rows can be outputs at all, (N,): no NaN, probabilities within [0, 1], ..."""

    @abstractmethod
    def decide(self, outputs_NW: Floats) -> Floats:
        """The code that each row is answered with, (N,)."""

    def score(self, outputs_NW: Floats) -> Floats:
        """The one number (N,) that stands for a row's outputs in lists, drift and plots."""
        return outputs_NW[:, 0]

    def answer(self, outputs_W: Sequence[float]) -> dict[str, object]:
        """What a client is told beside score and decision, as JSON values; usually nothing."""
        return {}

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Between which all that a model learns to answer lies; None if nothing bounds it."""
        return None

    @property
    def score_schema(self) -> dict[str, Any]:
        """The JSON schema of the score."""
        return {"type": "number"}

    @property
    def answer_schema(self) -> dict[str, Any]:
        """The JSON schema of the properties that `answer` has."""
        return {}

    @property
    def boundary(self) -> float | None:
        """The score at which the decision changes; None if there is no such score."""
        return None

    @property
    def gates(self) -> tuple[Gate, ...]:
        """What a candidate must meet unless a system declares otherwise."""
        return (Gate(metric=self.currency, better_than_champion_by=0.0),)

    @property
    def currency(self) -> str:
        """The name of the mean loss of `cases`: what gates, monitoring and tests compare."""
        return next(iter(self.metrics))

    @abstractmethod
    def losses(self, codes_N: Floats, outputs_NW: Floats) -> Floats:
        """One loss per row (N,), of the row alone. Lower is better."""

    def cases(self, codes_N: Floats, outputs_NW: Floats, subjects: Subjects) -> Cases:
        """What is judged: each row, unless rows are answered together. Which rows make a case
        follows from codes and subjects, whatever the outputs are."""
        return Cases(losses=self.losses(codes_N, outputs_NW), rows=np.arange(len(codes_N)))

    @abstractmethod
    def right(self, codes_N: Floats, decisions_N: Floats) -> Bools:
        """Which decisions (codes) nobody who knows the labels (codes) would complain about."""

    @abstractmethod
    def rates(self, codes_N: Floats, decisions_N: Floats) -> dict[str, tuple[int, int]]:
        """(hits, trials) of what else is told of decisions (codes), by name: shares of rows."""

    def costs(
        self, codes_N: Floats, decisions_N: Floats, outputs_NW: Floats
    ) -> dict[str, Floats]:
        """What each decision (codes) came to, (N,) by what for, in a unit that it names; none
        unless decisions have a declared cost.
        """
        return {}

    @abstractmethod
    def measured(self, codes_N: Floats, outputs_NW: Floats, subjects: Subjects) -> Measured:
        """The rows, ready to be measured by all of `metrics`."""

    @abstractmethod
    def figures(
        self, codes_N: Floats, models: Mapping[str, Floats], title: str, subjects: Subjects
    ) -> dict[str, bytes]:
        """PNGs by name, `overview` first, of how well models answered the same N rows.

        models: outputs (N, W) by name: the candidate, then the champion if there is one
        """

    @abstractmethod
    def described(self, codes_N: Floats) -> str:
        """The labels of some rows in half a sentence: `100 rows, 30 of them True`."""

    @abstractmethod
    def enough(self, codes_N: Floats) -> bool:
        """Whether rows with these labels say anything about a model."""

    @abstractmethod
    def constant(self, codes_N: Floats) -> Floats:
        """The outputs (W,) that lose least if all rows get the same."""

    @abstractmethod
    def strata(self, codes_N: Floats) -> Whole:
        """The stratum (N,) of each row: what must occur is as sure as its rarest one allows."""

    def units(self, subjects: Subjects) -> Whole | None:
        """The unit (N,) of each row, from 0 on, if rows of one are too much alike to stand for
        themselves. None if each row is one of its own.
        """
        return None

    @abstractmethod
    def contrast(self, codes_N: Floats) -> Whole:
        """The group (N,) of each row, from 0 on: what tells these groups apart tells the label."""


def refused(target: Target, value: object, expected: str) -> InvalidRequest:
    """The error of a value that is no label of `target`."""
    found = repr(value)
    return InvalidRequest(
        f"{target.name} is {found if len(found) <= 100 else found[:100] + '...'}; "
        f"expected {expected}"
    )
