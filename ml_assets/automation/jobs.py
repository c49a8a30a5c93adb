"""The jobs of a system: for its history, for every day, for a batch, for a retraining."""

from typing import Any

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import (
    UnresolvedAssetJobDefinition,  # what define_asset_job returns; dagster does not export it
)

from ml_assets.core.assets import keys
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.features.assets import feature_view_selection
from ml_assets.features.manifest import load_manifest
from ml_assets.training.resources import resource_tags

HISTORY, DAILY, BATCH, RETRAINING = "{}_history", "{}_daily", "{}_batch", "{}_retraining"
CANDIDATES, TUNE = "{}_candidates", "{}_tune"
LENT, LENT_HISTORY = "{}_lent", "{}_lent_history"
"""The jobs' names, for a system's name."""


def names_of(system: str) -> tuple[str, ...]:
    """The names of a system's jobs."""
    return tuple(job.format(system) for job in (
        HISTORY, DAILY, BATCH, RETRAINING, CANDIDATES, TUNE, LENT, LENT_HISTORY))


TRAINING_TAG = "ml_assets/training"
"""Runs with the same value of this tag queue up: a system never trains twice at once, while two
systems may train side by side."""


def daily_job(system: System) -> UnresolvedAssetJobDefinition:
    """A day's data in, its features computed and loaded, its predictions judged, and by these the
    versions that are tried."""
    return dg.define_asset_job(
        DAILY.format(system.name),
        selection=dg.AssetSelection.assets(
            *_streams(system, archives=False),
            *keys(system, "labels", "predictions", "outcomes", "rollout", "drift", "performance",
                  "parity", "retraining",
                  *_candidates(system)),
        ) | feature_view_selection(system),
        description=daily_job.__doc__,
    )


def history_job(system: System) -> UnresolvedAssetJobDefinition:
    """The recorded days before going live: data and features, nothing was served yet."""
    return dg.define_asset_job(
        HISTORY.format(system.name),
        selection=dg.AssetSelection.assets(
            *_streams(system, archives=True), *keys(system, "labels")
        ) | feature_view_selection(system),
        description=history_job.__doc__,
    )


def batch_job(system: System) -> UnresolvedAssetJobDefinition:
    """Scores a day's events with the model in force, beside what was served, and serves them."""
    scores = ["scores"] if system.scores_by is not None else []
    return dg.define_asset_job(
        BATCH.format(system.name),
        selection=dg.AssetSelection.assets(*keys(system, "batch_predictions", *scores)),
        description=batch_job.__doc__,
    )


def candidates_job(system: System) -> UnresolvedAssetJobDefinition:
    """The lists that slates are made of, as of the end of a day: the first ones, before a day was
    closed with a model in force."""
    return dg.define_asset_job(
        CANDIDATES.format(system.name),
        selection=dg.AssetSelection.assets(*keys(system, *_candidates(system))),
        description=candidates_job.__doc__,
    )


def jobs_of(system: System) -> list[UnresolvedAssetJobDefinition]:
    """All jobs of a system."""
    jobs = [history_job, daily_job, batch_job, retraining_job]
    jobs += [candidates_job] if _candidates(system) else []
    jobs += [tune_job] if system.model.search else []
    jobs += [lent_job, lent_history_job] if _borrowed_tables(system) else []
    return [job(system) for job in jobs]


def lent_job(system: System) -> UnresolvedAssetJobDefinition:
    """A day of what other systems read of this one, and nothing else."""
    return dg.define_asset_job(
        LENT.format(system.name),
        selection=dg.AssetSelection.assets(*_lent_streams(system, archives=False))
        | feature_view_selection(system, borrowed=True),
        description=lent_job.__doc__,
    )


def lent_history_job(system: System) -> UnresolvedAssetJobDefinition:
    """The recorded days before going live, of what other systems read of this one."""
    return dg.define_asset_job(
        LENT_HISTORY.format(system.name),
        selection=dg.AssetSelection.assets(*_lent_streams(system, archives=True))
        | feature_view_selection(system, borrowed=True),
        description=lent_history_job.__doc__,
    )


def retraining_job(system: System) -> UnresolvedAssetJobDefinition:
    """A training set, a model, its evaluation, and its place in the rollout unless it is broken."""
    return dg.define_asset_job(
        RETRAINING.format(system.name),
        selection=dg.AssetSelection.assets(
            *keys(system, "training_set", "model", "evaluation", "deployment")
        ),
        tags={TRAINING_TAG: system.name, **_run_resources(system, Settings.from_environment().ray)},
        description=retraining_job.__doc__,
    )


def tune_job(system: System) -> UnresolvedAssetJobDefinition:
    """A search for better values of the model's declaration, on the latest training set."""
    return dg.define_asset_job(
        TUNE.format(system.name), selection=dg.AssetSelection.assets(*keys(system, "tuning")),
        tags={TRAINING_TAG: system.name, **_run_resources(system)},
        description=tune_job.__doc__,
    )


def _run_resources(system: System, ray: str = "") -> dict[str, Any]:
    """What its run asks for, unless its steps are executed elsewhere and ask for themselves."""
    return resource_tags(system, ray) if Settings.from_environment().steps == "run" else {}


def _candidates(system: System) -> list[str]:
    """The asset of what slates are made of, if the system answers with some."""
    return [] if system.target.slates is None else ["candidates"]


def _borrowed_tables(system: System) -> frozenset[str]:
    return load_manifest(Settings.from_environment()).borrowed_tables(system)


def _lent_streams(system: System, *, archives: bool) -> list[dg.AssetKey]:
    """The assets of the streams and tables that other systems' features are made of."""
    tables = _borrowed_tables(system)
    wanted = {name for stream in system.streams if stream.table in tables
              for name in (stream.archive, stream.raw, stream.table)}
    return [key for key in _streams(system, archives=archives)
            if key.path[-1] in wanted | tables]


def _streams(system: System, *, archives: bool) -> list[dg.AssetKey]:
    """The assets of what streams and tables hold."""
    streams = [asset for stream in system.streams for asset in keys(
        system, *([stream.archive] if archives else []), stream.raw, stream.table)]
    return streams + keys(system, *(table.name for table in system.tables))
