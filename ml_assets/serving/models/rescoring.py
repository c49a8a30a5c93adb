"""What a model says of events that another one has answered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml_assets.core.errors import ModelRefused
from ml_assets.core.source import Event
from ml_assets.ingest.log.event_log import Prediction
from ml_assets.serving.models.loaded_rollout import LoadedModel
from ml_assets.serving.models.scoring import checked, listed, outputs_of


class FeaturesDiffer(ModelRefused):
    """A model reads other features than the answer was made from."""


def score_again(
    model: LoadedModel, some: Sequence[tuple[Prediction, Event]]
) -> list[tuple[float, tuple[float, ...]]]:
    """What a model says of answered events, from the features of the answers: of each the score,
    and the outputs if there are several. Raises FeaturesDiffer and OutputsRefused.
    """
    scorer = model.scorer
    for answered, _ in some:
        if tuple(scorer.feature_names) != answered.feature_names:
            raise FeaturesDiffer(f"it reads {scorer.feature_names}; the answer was made from "
                                 f"{answered.feature_names}")
    outputs = checked(model.version, outputs_of(
        scorer, [event for _, event in some], np.stack([answered.features for answered, _ in some])
    ), scorer.target)
    return list(zip(scorer.target.score(outputs).tolist(), listed(outputs), strict=True))
