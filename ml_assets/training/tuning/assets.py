"""`tuning`: better values for the model's declaration, on request."""

from typing import Any

import dagster as dg

from ml_assets.core.assets import Materialized, attributes, key, keys, plot, shown
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.training.resources import resource_tags

FOLDER = "tuning"
TRIALS = 20


class TuningConfig(dg.Config):
    """How many trials there are to be, those of earlier runs on the same rows included."""

    trials: int = TRIALS


def build(system: System) -> list[Any]:
    """Nothing for a model that declares no search."""
    return [_tuning(system)] if system.model.search else []


def _tuning(system: System) -> dg.AssetsDefinition:
    @dg.asset(
        key=key(system, "tuning"),
        deps=keys(system, "training_set"),
        description="A search for better values of the model's declaration, among those that it "
        "declares as `search`. Each trial fits the model to the earlier part of the training rows "
        "and is judged on the latest of them; the holdout is not seen. Nothing is changed: paste "
        "the snippet into the declaration if you like it.",
        code_version="1",
        op_tags=resource_tags(system),
        **attributes(system, "training", "optuna", partitioned=False),
    )
    def tuning(
        context: dg.AssetExecutionContext, config: TuningConfig,
        settings: dg.ResourceParam[Settings],
    ) -> Materialized:
        from ml_assets.features.training_sets.training_set import TrainingSets
        from ml_assets.training.tuning.picture import picture
        from ml_assets.training.tuning.report import described, line, snippet
        from ml_assets.training.tuning.study import best_of
        from ml_assets.training.tuning.tune import Search

        search = Search(system=system, training_set=TrainingSets(settings, system).latest(),
                        folder=settings.folder_of(system.name) / FOLDER)
        trials = search.go(
            config.trials, lambda trial: context.log.info(line(trial, config.trials)))
        return dg.MaterializeResult(metadata={
            **shown(**described(system.model, trials)),
            "snippet": dg.MetadataValue.md(
                f"```python\n{snippet(system.model, best_of(trials).values)}\n```"),
            "plot": plot(settings, system, picture(trials, system.model.search, system.name),
                         "trials"),
        })

    return tuning
