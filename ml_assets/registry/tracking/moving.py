"""An installation that was moved: MLflow stores whole addresses, and they follow the folder."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ml_assets.core.errors import LogUnavailable
from ml_assets.core.settings import Settings
from ml_assets.core.storage.database import writing
from ml_assets.core.storage.mounts import current_folder
from ml_assets.core.storage.sqlite import SqliteDatabase, open_file

FOLDER = "/mlflow/artifacts/"
"""What an address of ours holds before the part that stays the same."""
COLUMNS = (
    ("experiments", "artifact_location"), ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"), ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Where MLflow 3 keeps the addresses of files."""


def within(artifacts: Path, uri: str) -> str:
    """`uri` as it is below `artifacts`, wherever the installation lay when it was stored.

    Addresses of other kinds, on another machine for example, stay as they are.
    """
    if not uri.startswith(("file:", "/")):
        return uri
    _, marker, rest = f"{uri}/".rpartition(FOLDER)
    return f"{artifacts.as_uri()}/{rest}".rstrip("/") if marker else uri


def on_this_machine(settings: Settings, uri: str) -> Path:
    """The files at an address of MLflow's, which are not to be written to: where they lie, or this
    host's copies. Raises OSError and MlflowException."""
    root = f"{settings.mlflow_artifact_root}/"
    if root.startswith("s3:") and uri.startswith(root):
        return current_folder(settings.mlflow_artifacts / uri.removeprefix(root))
    from mlflow.artifacts import download_artifacts

    return Path(download_artifacts(artifact_uri=within(settings.mlflow_artifacts, uri)))


def stale(database: Path, artifacts: Path) -> int:
    """How many addresses name another folder than `artifacts`. Raises LogUnavailable."""
    with _open(database) as db:
        return len(_moved(db, artifacts))


def follow(database: Path, artifacts: Path) -> int:
    """Let every address name the folder where the installation lies now; how many were changed.

    Costs some 0.2 ms if none is stale. Raises LogUnavailable.
    """
    with _open(database) as db:
        if not _moved(db, artifacts, most=1):
            return 0
        with writing(db):
            moved = _moved(db, artifacts)
            for table, column, uri in moved:
                db.execute(f"update {table} set {column} = ? where {column} = ?",
                           (within(artifacts, uri), uri))
    return len(moved)


def _moved(db: sqlite3.Connection, artifacts: Path, most: int = -1) -> list[tuple[str, str, str]]:
    """Stale addresses, each once, with the table and column that hold it."""
    here = f"{artifacts.as_uri()}/"
    addresses = []
    for table, column in COLUMNS:
        if column not in {name for _, name, *_ in db.execute(f"pragma table_info({table})")}:
            continue  # MLflow is making its tables at this moment
        rows = db.execute(
            f"select distinct {column} from {table} where instr({column}, ?) > 0"
            f" and substr({column} || '/', 1, ?) <> ? limit ?", (FOLDER, len(here), here, most))
        addresses += [(table, column, str(uri)) for (uri,) in rows if within(artifacts, uri) != uri]
    return addresses


@contextmanager
def _open(database: Path) -> Iterator[SqliteDatabase]:
    try:
        uri = f"{database.as_uri()}?mode=rw"
        with closing(open_file(uri, uri=True, timeout=10)) as db:
            yield db
    except sqlite3.Error as error:
        raise LogUnavailable(f"cannot read or write MLflow's {database}: {error}. "
                             "`ml-assets doctor` says what to do") from error
