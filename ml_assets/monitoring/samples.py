"""What drift compares: the champion's training set with the predictions of a window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import msgspec
import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import NotReady, StateDamaged
from ml_assets.core.policies import DriftPolicy
from ml_assets.core.settings import Settings
from ml_assets.core.storage.files import replacing
from ml_assets.core.system import System
from ml_assets.core.texts import key_text
from ml_assets.core.time import midnight
from ml_assets.features.service import Service
from ml_assets.monitoring.categories import CategorySamples, counts_of
from ml_assets.monitoring.drift import ColumnSamples, Samples
from ml_assets.registry.deployments import Deployment
from ml_assets.serving.models.scoring import Scorer

if TYPE_CHECKING:
    import pandas as pd

    from ml_assets.features.training_sets.stored import TrainingSet

SCORE = "model score"
"""The column that stands for prediction drift; no feature can have this name."""
LARGEST = 2**17
"""Rows of a training set that stand for all of them, at most."""
EVENT_FOUND = "_event_found"
"""Of a prediction's row: null unless the columns of its event are beside it."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What a model learnt from and how it scored what it had not learnt from.

    training_set: its version; names: the D columns of `dense`.
    dense: (n, D) float32, of `LARGEST` rows of the training set at most, evenly spread over all,
        held-out ones included.
    coded: those of `names` whose numbers are codes of categories.
    categories: of the same rows, how often each value of an event's category columns occurs.
    scores: (h,) float64, the model's scores of the held-out rows: on rows that it was fitted
        to, it is surer of itself than on any it will meet.
    at: (n,) when the events of the rows happened, in microseconds; empty if that is not known.
    """

    training_set: str
    names: tuple[str, ...]
    dense: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float64]
    coded: frozenset[str] = frozenset()
    categories: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    at: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


def reference_of(
    training_set: TrainingSet, scorer: Scorer, *, categories: Sequence[str] = ()
) -> Reference:
    """The reference of a model and the training set that it was trained on.

    categories: columns of events that it reads
    """
    names = training_set.feature_names
    there = [name for name in categories if name in training_set.columns]
    when = [name for name in ("event_timestamp",) if name in training_set.columns]
    rows, held_out = training_set.sample(LARGEST, [*names, *there, *when]), training_set.held_out()
    texts = {text: [key_text(value) for value in held_out[text]] for text in scorer.texts}
    scores = np.empty(0) if held_out.empty else scorer.target.score(
        scorer.outputs(texts, held_out[list(names)].to_numpy(np.float32)))
    return Reference(
        training_set=training_set.version, names=tuple(names), scores=scores,
        dense=rows[list(names)].to_numpy(np.float32), coded=training_set.coded,
        at=_microseconds(rows), categories={name: counted(rows[name]) for name in there},
    )


def _microseconds(rows: pd.DataFrame) -> npt.NDArray[np.int64]:
    if "event_timestamp" not in rows.columns:
        return np.empty(0, np.int64)
    instants = rows["event_timestamp"].dt.tz_convert("UTC").dt.tz_localize(None)
    since: npt.NDArray[np.int64] = instants.to_numpy("datetime64[us]").astype(np.int64)
    return since


def counted(values: pd.Series) -> dict[str, int]:
    """How often each value of a category column occurs; "" stands for a missing one."""
    return dict(Counter(map(key_text, values.astype(object).where(values.notna(), None))))


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
        path = self._path(model_version)
        if not path.exists():
            self.keep(model_version, self._make(model_version))
        try:
            with np.load(path, allow_pickle=False) as stored:
                if "at" not in stored.files:  # of an earlier release
                    path.unlink()
                    return self.read(model_version)
                return Reference(
                    training_set=str(stored["training_set"]), names=tuple(stored["names"].tolist()),
                    dense=stored["dense"], scores=stored["scores"], at=stored["at"],
                    coded=frozenset(stored["coded"].tolist()),
                    categories=msgspec.json.decode(
                        str(stored["categories"]), type=dict[str, dict[str, int]]),
                )
        except (OSError, EOFError, ValueError, KeyError, BadZipFile,
                msgspec.MsgspecError) as error:
            raise StateDamaged(f"{path} is damaged: {error}. Delete it; it is made anew") from error

    def keep(self, model_version: int, reference: Reference) -> None:
        """Store the reference of a model."""
        with replacing(self._path(model_version)) as temporary, temporary.open("wb") as file:
            np.savez(file, training_set=np.array(reference.training_set),
                     names=np.array(reference.names, dtype=np.str_), dense=reference.dense,
                     scores=reference.scores, at=reference.at,
                     coded=np.array(sorted(reference.coded), dtype=np.str_),
                     categories=np.array(msgspec.json.encode(reference.categories).decode()))

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


def filled_from(system: System, service: Service) -> dict[str, datetime]:
    """From when on each windowed feature looks at a whole window of history, by its name.

    Until then counters grow by construction, whatever happens; what functions make of several
    features is whole once all of them are.
    """
    windows = {name: each.window for view in service.views for each in view.windowed.aggregates
               for name in each.columns}
    for derived in service.derived:
        read = [windows[name] for name in derived.features if name in windows]
        windows |= dict.fromkeys(derived.gives, max(read)) if read else {}
    start = midnight(system.calendar.first_day)
    return {name: start + timedelta(microseconds=window) for name, window in windows.items()}


def samples(
    reference: Reference, predictions: pd.DataFrame, model_version: int, policy: DriftPolicy,
    filled: Mapping[str, datetime] | None = None,
) -> tuple[dict[str, Samples], int]:
    """The columns to compare, and how many predictions stand behind them.

    predictions: rows of `tables.predictions_schema`, beside `EVENT_FOUND` and the category columns
        of their events, if the reference has any; those whose features have other names than the
        champion's are left out. Scores are compared if the champion itself gave enough.
    filled: from when on a feature is whole, see `filled_from`: earlier rows of either side are left
        out, and a feature of which too few are left is not judged
    """
    alike = [tuple(names) == reference.names for names in predictions["feature_names"]]
    rows = predictions[alike]
    if rows.empty:
        return {}, 0
    current = np.stack(rows["features"].to_list()).astype(np.float32)
    happened = _microseconds(rows)
    columns: dict[str, Samples] = {}
    for index, name in enumerate(reference.names):
        then, now = reference.dense[:, index], current[:, index]
        if (since := (filled or {}).get(name)) is not None and len(reference.at):
            start = int(since.timestamp() * 1_000_000)
            then, now = then[reference.at >= start], now[happened >= start]
            if min(len(then), len(now)) < policy.min_events:
                continue
        columns[name] = CategorySamples(
            reference=counts_of(then), current=counts_of(now)
        ) if name in reference.coded else ColumnSamples(reference=then, current=now)
    if reference.categories and (found := rows[rows[EVENT_FOUND].notna()]).size:
        for name, counts in reference.categories.items():
            columns[name] = CategorySamples(reference=counts, current=counted(found[name]))
    scores = rows.loc[rows["model_version"] == model_version, "score"].to_numpy(np.float64)
    if len(scores) >= policy.min_events and len(reference.scores):
        columns[SCORE] = ColumnSamples(reference=reference.scores, current=scores)
    return columns, len(rows)


def champion_at(history: Iterable[Deployment], instant: datetime) -> Deployment | None:
    """The deployment that was in force just before `instant`."""
    earlier = [deployment for deployment in history if deployment.at < instant]
    return max(earlier, key=lambda deployment: deployment.id, default=None)
