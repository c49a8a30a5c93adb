"""Events and features to outputs: the one place, for the API and for batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import ModelRefused
from ml_assets.core.model import Embedding
from ml_assets.core.system import System
from ml_assets.core.target import Target
from ml_assets.core.texts import key_text

Floats = npt.NDArray[np.float32]


class OutputsRefused(ModelRefused):
    """A model's outputs are none that its target allows."""


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
    def target(self) -> Target:
        """What it was trained to predict."""
        ...

    def outputs(
        self, texts: Mapping[str, Sequence[str]], dense: Floats
    ) -> npt.NDArray[np.float64]:
        """What `target.outputs` names, (B, W), for B rows of texts by column and dense (B, D).

        The law: a row's outputs are the same, bit for bit, alone or among any others, in any row.
        """
        ...


def dense_vectors(
    system: System, events: Sequence[Mapping[str, object]], features: Floats
) -> Floats:
    """(B, D) float32: each event's declared numbers, then its store features (B, F)."""
    names = system.model.numbers
    dense = np.empty((len(events), len(names) + features.shape[1]), np.float32)
    vectors = system.model.of(Embedding)
    plain = names[:len(names) - sum(each.size for each in vectors)]
    for place, name in enumerate(plain):
        column = [event[name] for event in events]
        # The rows of a slate share the very objects of their request.
        dense[:, place] = column[0] if len(set(map(id, column))) == 1 else column
    start = len(plain)
    for each in vectors:
        for row, event in zip(dense, events, strict=True):
            vector: Any = event[each.column]
            row[start:start + each.size] = np.nan if vector is None else vector
        start += each.size
    dense[:, len(names) :] = features
    return dense


def outputs_of(
    scorer: Scorer, events: Sequence[Mapping[str, object]], dense: Floats
) -> npt.NDArray[np.float64]:
    """The outputs (B, W) of B events with their dense vectors (B, D).

    All in one call, whatever else is in the batch: by the law of `Scorer.outputs` that changes
    none of them.
    """
    texts = {name: [key_text(event[name]) for event in events] for name in scorer.texts}
    return scorer.outputs(texts, dense)


def checked(
    version: int, outputs: npt.NDArray[np.float64], target: Target
) -> npt.NDArray[np.float64]:
    """The outputs (B, W) of a version. Raises OutputsRefused unless the target allows all."""
    allowed_B = target.check(outputs)
    if not allowed_B.all():
        first = outputs[~allowed_B][0].tolist()
        raise OutputsRefused(f"version {version} gave {first} for {int((~allowed_B).sum())} of "
                             f"{len(outputs)} events, which {target} does not allow")
    return outputs


def listed(outputs: npt.NDArray[np.float64]) -> list[tuple[float, ...]]:
    """Each row of outputs (B, W) as it is kept beside its score: empty if W is 1."""
    if outputs.shape[1] == 1:
        return [()] * len(outputs)
    return [tuple(row) for row in outputs.tolist()]


def require_names(system: System, scorer: Scorer, store: Sequence[str] | None) -> None:
    """Raise ModelRefused unless the model reads exactly what serving can give it.

    store: the features of the feature service; None if it cannot be read now.
    """
    numbers = system.model.numbers
    wanted = tuple(scorer.feature_names)
    given = (*numbers, *store) if store is not None else (*numbers, *wanted[len(numbers) :])
    if wanted != given:
        raise ModelRefused(
            f"the model reads {_difference(wanted, given)}; it was trained with another feature "
            f"service or another declaration of {system.name!r}: train it again"
        )
    columns = {column.name for column in system.columns
               if column.dtype in ("text", "category", "integer") and not column.many}
    if missing := sorted(set(scorer.texts) - columns):
        raise ModelRefused(
            f"the model reads the texts {missing}, which {system.name!r} does not declare"
        )
    if not system.target.answers_like(scorer.target):
        raise ModelRefused(
            f"the model was trained to predict {scorer.target}; {system.name!r} declares "
            f"{system.target}: train it again"
        )


def _difference(wanted: tuple[str, ...], given: tuple[str, ...]) -> str:
    surplus = [name for name in wanted if name not in given]
    unused = [name for name in given if name not in wanted]
    if not surplus and not unused:
        return "the declared features in another order"
    reasons = [f"{', '.join(surplus)}, which serving does not have"] if surplus else []
    reasons += [f"not {', '.join(unused)}, which serving has"] if unused else []
    return " and ".join(reasons)
