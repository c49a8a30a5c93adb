"""Events and features to scores: the one place, for the API and for batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import ModelRefused
from ml_assets.core.system import System

Floats = npt.NDArray[np.float32]


class Scorer(Protocol):
    """A loaded model, as `ml_assets.training.artifact.load` returns it."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The text columns that it reads."""
        ...

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns of `dense`, in order: event numbers, then store features."""
        ...

    @property
    def threshold(self) -> float:
        """The score from which the decision is True."""
        ...

    def score(
        self, texts: Mapping[str, Sequence[str]], dense: Floats
    ) -> npt.NDArray[np.float64]:
        """Probabilities of True, (B,), for B rows of texts by column and dense (B, D).

        The law: a row scores the same, bit for bit, alone as among any others, at any place.
        """
        ...


def dense_vectors(
    system: System, events: Sequence[Mapping[str, object]], features: Floats
) -> Floats:
    """(B, D) float32: each event's declared numbers, then its store features (B, F)."""
    numbers = np.array(
        [[event[name] for name in system.model.numbers] for event in events], dtype=np.float32
    ).reshape(len(events), len(system.model.numbers))
    return np.concatenate([numbers, features], axis=1)


def score_rows(
    scorer: Scorer, events: Sequence[Mapping[str, object]], dense: Floats
) -> npt.NDArray[np.float64]:
    """Scores (B,) of B events with their dense vectors (B, D).

    All in one call, whoever else is asked about at the moment: by the law of `Scorer.score`
    that changes no score.
    """
    texts = {name: [str(event[name]) for event in events] for name in scorer.texts}
    return scorer.score(texts, dense)


def require_names(system: System, scorer: Scorer, store: Sequence[str] | None) -> None:
    """Raise ModelRefused unless the model reads exactly what serving can give it.

    store: the features of the feature service; None where the store cannot be asked now.
    """
    numbers = system.model.numbers
    asked = tuple(scorer.feature_names)
    given = (*numbers, *store) if store is not None else (*numbers, *asked[len(numbers) :])
    if asked != given:
        raise ModelRefused(
            f"the model reads {_difference(asked, given)}; it was trained with another feature "
            f"service or another declaration of {system.name!r}: train it again"
        )
    columns = {column.name for column in system.columns if column.dtype == "text"}
    if missing := sorted(set(scorer.texts) - columns):
        raise ModelRefused(
            f"the model reads the texts {missing}, which {system.name!r} does not declare"
        )


def _difference(asked: tuple[str, ...], given: tuple[str, ...]) -> str:
    surplus = [name for name in asked if name not in given]
    unused = [name for name in given if name not in asked]
    if not surplus and not unused:
        return "the declared features in another order"
    parts = [f"{', '.join(surplus)}, which serving does not have"] if surplus else []
    parts += [f"not {', '.join(unused)}, which serving has"] if unused else []
    return " and ".join(parts)
