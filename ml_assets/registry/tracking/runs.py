"""What MLflow keeps of one training: a run with its data, figures and the model's files."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.core.settings import Settings
from ml_assets.core.storage.checksums import of_parts
from ml_assets.core.storage.files import make_folder, make_private
from ml_assets.core.storage.marker import note, require_new
from ml_assets.registry.tracking import moving
from ml_assets.registry.tracking.flavor import DATA, PARTS, Flavor, describe

if TYPE_CHECKING:
    from mlflow import MlflowClient

MAX_PARAM, MAX_DIGEST = 6000, 36
"""MLflow's limits, in characters."""


def connect(settings: Settings) -> MlflowClient:
    """A client of the installation's MLflow; its tables are made if there are none."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # Otherwise a model's requirements become those of whatever project uv finds in the folder
    # from which a training was started.
    os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    _prepare(settings)
    uri = settings.mlflow_tracking_uri
    with warnings.catch_warnings():
        # MLflow 3.17 uses an option that SQLAlchemy 2.1 deprecates; nothing we could change.
        warnings.filterwarnings("ignore", "The ``noload`` loader strategy", DeprecationWarning)
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _prepare(settings: Settings) -> None:
    """The room in which MLflow makes its tables, if they are not there."""
    place = settings.mlflow_database
    if not isinstance(place, Path):
        from ml_assets.core.storage.postgres import make_room

        make_room(place)
        return
    require_new(place)
    if place.exists():
        moving.follow(place, settings.mlflow_artifacts)
    else:
        make_private(place)
        # Readers (the API, MLflow's UI) and the writer then never wait for each other.
        new = sqlite3.connect(place)
        new.execute("pragma journal_mode=wal")
        new.close()


@contextmanager
def tracked_run(
    client: MlflowClient, settings: Settings, system: str, tags: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """A run in the system's experiment: its id and the experiment's, for the block.

    It ends with the block: FINISHED, or FAILED if the block raises.
    """
    experiment = client.get_experiment_by_name(system)
    if experiment is None:
        make_folder(settings.mlflow_artifacts / system)
        experiment_id = client.create_experiment(
            system, artifact_location=f"{settings.mlflow_artifact_root}/{system}")
    else:
        experiment_id = experiment.experiment_id
    if isinstance(settings.mlflow_database, Path):
        note(settings.mlflow_database)
    run = client.create_run(experiment_id, tags=dict(tags), run_name=f"{system} training")
    status = "FAILED"
    try:
        yield run.info.run_id, experiment_id
        status = "FINISHED"
    finally:
        client.set_terminated(run.info.run_id, status)


def forget(client: MlflowClient, system: str) -> None:
    """Delete the system's experiment for good, with its runs and logged models. Can be repeated.

    As `mlflow gc` does: an experiment that is merely deleted keeps its name.
    """
    from mlflow.entities import ViewType

    experiment = client.get_experiment_by_name(system)
    if experiment is None:
        return
    own, store = str(experiment.experiment_id), client._tracking_client.store
    if experiment.lifecycle_stage == "active":
        while models := client.search_logged_models([own]):
            for model in models:
                client.delete_logged_model(model.model_id)
        client.delete_experiment(own)
    while found := store.search_runs([own], "", ViewType.DELETED_ONLY, 1000):
        for run in found:
            store._hard_delete_run(run.info.run_id)
    for model_id in store._get_deleted_logged_models():
        if str(store.get_logged_model(model_id, allow_deleted=True).experiment_id) == own:
            store._hard_delete_logged_model(model_id)
    store._hard_delete_experiment(own)


def log(
    client: MlflowClient,
    run_id: str,
    *,
    metrics: Mapping[str, float],
    params: Mapping[str, object] | None = None,
    model_id: str | None = None,
) -> None:
    """Log all of them in one transaction, the metrics also on the model that they are of."""
    from mlflow.entities import Metric, Param
    from mlflow.utils.time import get_current_time_millis

    now = get_current_time_millis()  # type: ignore[no-untyped-call]
    client.log_batch(
        run_id,
        # MLflow allows no percent sign in a name.
        metrics=[Metric(name.replace("%", "pc"), float(value), now, 0, model_id=model_id)
                 for name, value in metrics.items()],
        params=[Param(name, value) for name, value in texts(params or {}).items()],
    )


def log_data_set(client: MlflowClient, run_id: str, system: str, tags: Mapping[str, str]) -> None:
    """Link the training set that the tag `data_version` names, if there is one."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    if "data_version" in tags:
        data_set = Dataset(
            name=f"{system}/training_set", digest=tags["data_version"][:MAX_DIGEST],
            source_type="dagster", source=json.dumps({"asset": f"{system}/training_set", **tags}),
        )
        client.log_inputs(
            run_id, [DatasetInput(data_set, [InputTag("mlflow.data.context", "training")])]
        )


def log_figures(
    client: MlflowClient, run_id: str, folder: str, figures: Mapping[str, bytes]
) -> None:
    """Store PNGs as `<folder>/<name>.png` of the run."""
    with tempfile.TemporaryDirectory() as temporary:
        for name, png in figures.items():
            (Path(temporary) / f"{name}.png").write_bytes(png)
        if figures:
            client.log_artifacts(run_id, temporary, folder)


def store_model(
    client: MlflowClient, run_id: str, model_id: str, folder: Path, flavor: Flavor | None
) -> tuple[str, str]:
    """Store `folder` as the files of a model that the run put out; the URI under which they lie,
    and the checksum of all that lies there.

    Without a flavor MLflow keeps the files and knows nothing of them.
    """
    from mlflow.entities import LoggedModelOutput

    with tempfile.TemporaryDirectory() as temporary:
        if flavor is not None:
            describe(flavor, folder, Path(temporary), run_id=run_id, model_id=model_id)
        shutil.copytree(folder, Path(temporary) / DATA)
        checksum = of_parts(Path(temporary), PARTS)
        client.log_model_artifacts(model_id, temporary)
    model = client.finalize_logged_model(model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])
    return str(model.artifact_location), checksum


def logged_model(client: MlflowClient, run_id: str) -> str | None:
    """The id of the model that a run put out, None if there is none."""
    outputs = client.get_run(run_id).outputs
    return None if outputs is None else next(
        (str(model.model_id) for model in outputs.model_outputs), None)


def texts(params: Mapping[str, object]) -> dict[str, str]:
    """Parameters as MLflow keeps them."""
    return {name: (value if isinstance(value, str) else json.dumps(value, default=str))[:MAX_PARAM]
            for name, value in params.items()}
