"""What a model learnt from, kept for as long as live rows are compared with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import msgspec
import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import NotReady, StateDamaged
from ml_assets.core.settings import Settings
from ml_assets.core.storage.files import replacing
from ml_assets.core.storage.mounts import current, remove
from ml_assets.core.system import System
from ml_assets.core.target import Whole
from ml_assets.core.texts import key_text
from ml_assets.serving.models.scoring import Scorer

if TYPE_CHECKING:
    import pandas as pd

    from ml_assets.features.training_sets.stored import TrainingSet

LARGEST = 2**17
"""Rows of a training set that stand for all of them, at most."""
HAPPENED = "event_timestamp"
FORMAT = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Values:
    """A category column: `texts` ("" is missing), and which of them each row (n,) has."""

    texts: tuple[str, ...]
    places: npt.NDArray[np.int32]

    @classmethod
    def of(cls, column: pd.Series) -> Values:
        """Of a column of an event, whatever its type."""
        texts = list(map(key_text, column.astype(object).where(column.notna(), None)))
        found = sorted(set(texts))
        index = {text: place for place, text in enumerate(found)}
        return cls(texts=tuple(found), places=np.array([index[text] for text in texts], np.int32))

    @classmethod
    def of_codes(cls, codes: npt.NDArray[np.floating]) -> Values:
        """Of numbers (n,) that stand for categories; NaN is missing."""
        found, places = np.unique(codes, return_inverse=True)
        texts = ("" if np.isnan(code) else f"{code:.10g}" for code in found.tolist())
        return cls(texts=tuple(texts), places=places.astype(np.int32))

    def counted(self) -> dict[str, int]:
        """How often each value occurs."""
        times = np.bincount(self.places, minlength=len(self.texts))
        return {text: int(count) for text, count in zip(self.texts, times, strict=True) if count}

    @property
    def rows(self) -> list[str]:
        """The value of each row."""
        return [self.texts[place] for place in self.places.tolist()]

    def of_rows(self, chosen: npt.NDArray[np.bool_]) -> Values:
        return Values(texts=self.texts, places=self.places[chosen])


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """What a model learnt from and how it scored what it had not learnt from.

    training_set: its version; names: the D columns of `dense`.
    dense: (n, D) float32, of `LARGEST` rows of the training set at most, evenly spread over all,
        held-out ones included.
    at: (n,) when the events of the rows happened, in microseconds; empty if that is not known.
    coded: those of `names` whose numbers are codes of categories.
    categories: of the same rows, the values of an event's category columns.
    scores: (h,) float64, the model's scores of the held-out rows: on rows that it was fitted
        to, it is surer of itself than on any it will meet. scores_at: (h,) as `at`.
    losses: (h,) float64, what these rows lost; empty if that is not known.
    """

    training_set: str
    names: tuple[str, ...]
    dense: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float64]
    coded: frozenset[str] = frozenset()
    categories: Mapping[str, Values] = field(default_factory=dict)
    at: Whole = field(default_factory=lambda: np.empty(0, np.int64))
    scores_at: Whole = field(default_factory=lambda: np.empty(0, np.int64))
    losses: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


def reference_of(
    training_set: TrainingSet, scorer: Scorer, *, categories: Sequence[str] = ()
) -> Reference:
    """The reference of a model and the training set that it was trained on.

    categories: columns of events that it reads
    """
    names = training_set.feature_names
    there = [name for name in categories if name in training_set.columns]
    when = [name for name in (HAPPENED,) if name in training_set.columns]
    rows, held_out = training_set.sample(LARGEST, [*names, *there, *when]), training_set.held_out()
    texts = {text: [key_text(value) for value in held_out[text]] for text in scorer.texts}
    scores, losses = np.empty(0), np.empty(0)
    if not held_out.empty:
        outputs = scorer.outputs(texts, held_out[list(names)].to_numpy(np.float32))
        scores = scorer.target.score(outputs)
        if "label" in held_out.columns:
            losses = scorer.target.losses(
                scorer.target.codes(held_out["label"].tolist()), outputs)
    return Reference(
        training_set=training_set.version, names=tuple(names), scores=scores, losses=losses,
        dense=rows[list(names)].to_numpy(np.float32), coded=training_set.coded,
        at=microseconds(rows), scores_at=microseconds(held_out),
        categories={name: Values.of(rows[name]) for name in there},
    )


def microseconds(rows: pd.DataFrame) -> Whole:
    """When each event happened (n,); empty if the rows do not say."""
    if HAPPENED not in rows.columns:
        return np.empty(0, np.int64)
    instants = rows[HAPPENED].dt.tz_convert("UTC").dt.tz_localize(None)
    since: Whole = instants.to_numpy("datetime64[us]").astype(np.int64)
    return since


class References:
    """The references of a system's models, each made once and then read from
    `<lake>/<system>/drift_reference/<model version>.npz`.
    """

    def __init__(self, settings: Settings, system: System) -> None:
        self.settings = settings
        self.system = system

    def read(self, model_version: int) -> Reference:
        """The reference of a registered model.

        Raises NotReady if the registry does not know which data it was trained on.
        """
        path = current(self._path(model_version))
        if not path.exists():
            self.keep(model_version, self._make(model_version))
        try:
            with np.load(path, allow_pickle=False) as stored:
                if "format" not in stored.files or int(stored["format"]) != FORMAT:
                    remove(path)  # of an earlier release
                    return self.read(model_version)
                texts = msgspec.json.decode(str(stored["categories"]), type=dict[str, list[str]])
                return Reference(
                    training_set=str(stored["training_set"]), names=tuple(stored["names"].tolist()),
                    dense=stored["dense"], scores=stored["scores"], at=stored["at"],
                    scores_at=stored["scores_at"], losses=stored["losses"],
                    coded=frozenset(stored["coded"].tolist()),
                    categories={name: Values(texts=tuple(each), places=stored[f"places_{index}"])
                                for index, (name, each) in enumerate(texts.items())},
                )
        except (OSError, EOFError, ValueError, KeyError, BadZipFile,
                msgspec.MsgspecError) as error:
            raise StateDamaged(f"{path} is damaged: {error}. Delete it; it is made anew") from error

    def keep(self, model_version: int, reference: Reference) -> None:
        """Store the reference of a model."""
        texts = {name: list(values.texts) for name, values in reference.categories.items()}
        places = {f"places_{index}": values.places
                  for index, values in enumerate(reference.categories.values())}
        with replacing(self._path(model_version)) as temporary, temporary.open("wb") as file:
            np.savez(file, format=np.array(FORMAT), training_set=np.array(reference.training_set),
                     names=np.array(reference.names, dtype=np.str_), dense=reference.dense,
                     scores=reference.scores, at=reference.at, scores_at=reference.scores_at,
                     losses=reference.losses,
                     coded=np.array(sorted(reference.coded), dtype=np.str_),
                     categories=np.array(msgspec.json.encode(texts).decode()),
                     **places)  # type: ignore[arg-type]

    def _make(self, model_version: int) -> Reference:
        from ml_assets.features.training_sets.training_set import TrainingSets
        from ml_assets.registry.models import ModelRegistry
        from ml_assets.training.artifact import load

        registry = ModelRegistry(self.settings)
        tags = registry.get(self.system.name, model_version).tags
        if "data_version" not in tags:
            raise NotReady(
                f"model version {model_version} of {self.system.name!r} carries no tag "
                "`data_version`, so what it was trained on is not known. Train it again."
            )
        training_set = TrainingSets(self.settings, self.system).load(tags["data_version"])
        return reference_of(
            training_set, load(registry.folder(self.system.name, model_version)),
            categories=self.system.model.categories,
        )

    def _path(self, model_version: int) -> Path:
        folder = self.settings.lake / self.system.name / "drift_reference"
        return folder / f"{model_version}.npz"
