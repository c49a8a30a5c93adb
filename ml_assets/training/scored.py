"""What a training makes: a form that is served, beside the network that it was made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ml_assets.core.target import Scale, Target
from ml_assets.training.encoding.encoder import Encoder

Floats = npt.NDArray[np.float32]
Texts = Mapping[str, Sequence[str]]
Outputs = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """How a scorer is stored.

    form: one of those that `artifact` knows; about: JSON values, beside target, scale and
    feature names; tensors: what was learnt; files: others, by name
    """

    form: str
    about: Mapping[str, Any]
    tensors: Mapping[str, npt.NDArray[Any]]
    files: Mapping[str, bytes] = field(default_factory=dict)


class TrainedScorer(Protocol):
    """A scorer that can be stored: rows of texts and numbers in, outputs out, without torch."""

    @property
    def target(self) -> Target:
        """What it was trained to predict."""
        ...

    @property
    def scale(self) -> Scale:
        """Of the labels that it was trained on."""
        ...

    @property
    def texts(self) -> tuple[str, ...]:
        """The text and category columns that are read, each once."""
        ...

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The D columns of `dense`, in order."""
        ...

    @property
    def parameters(self) -> int:
        """How many numbers were learnt."""
        ...

    @property
    def parts(self) -> Parts:
        """All that is stored of it."""
        ...

    def rescaled(self, scale: Scale) -> TrainedScorer:
        """The same with another scale."""
        ...

    def outputs(self, texts: Texts, dense: Floats) -> Outputs:
        """What `target.outputs` names, (B, W), for B rows of texts by column and dense (B, D).

        The law: a row's outputs are the same alone as among any others, in any row.
        """
        ...


class Ended(Protocol):
    """How a fit ended."""

    @property
    def losses(self) -> tuple[float, ...]:
        """The mean loss of a row, at each evaluation or epoch."""
        ...

    @property
    def settled(self) -> bool:
        """Whether more of it would have gained little."""
        ...

    @property
    def said(self) -> str:
        """In half a sentence."""
        ...


S = TypeVar("S", bound=TrainedScorer, covariant=True)


@dataclass(frozen=True, kw_only=True)
class Before:
    """A trained network whose weights another begins with.

    name: `version 3`, for people; version: 3, None if it is not registered; state: its weights, by
    their names
    """

    name: str
    version: int | None = None
    target: Target
    scale: Scale
    encoder: Encoder
    state: Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Fitted(Generic[S]):
    """A trained network, and the form in which it is stored and served.

    logits: (B, K) that the network itself gives for B rows
    state: the network's own weights, by their names
    began: as which model its weights began, or why they did not; None if none was asked for
    """

    scorer: S
    logits: Callable[[Texts, Floats], Outputs]
    state: Mapping[str, npt.NDArray[Any]]
    convergence: Ended
    began: str | None = None

    def trained(self, texts: Texts, dense: Floats) -> Outputs:
        """The outputs that the network itself gives; `agreement` compares them with the scorer's.
        """
        scorer = self.scorer
        return scorer.target.outputs_of(
            self.logits(texts, dense), scorer.scale, scorer.feature_names, dense)
