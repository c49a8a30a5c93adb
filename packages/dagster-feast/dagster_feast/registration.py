"""`feast apply` where the registry does not hold what the repository declares."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import FeastRepoError
from .manifest import DESCRIBE, environment, last_words

APPLIED = "dagster-feast/fingerprint"
"""A tag of the project in the registry: the fingerprint of the manifest that was applied."""
APPLY = (
    "import runpy, sys; runpy.run_path(sys.argv.pop(1))['import_feast'](); "
    "from feast.cli.cli import cli; sys.path.insert(0, sys.argv.pop(1)); cli()"
)


def applied(store: Any) -> str | None:
    """The fingerprint that the registry says was applied; `feast apply` by hand removes it."""
    from feast.errors import ProjectObjectNotFoundException

    try:
        project = store.registry.get_project(store.project)
    except ProjectObjectNotFoundException:
        return None
    said = project.tags.get(APPLIED)
    return None if said is None else str(said)


def apply(repo: Path, feature_store_yaml: Path) -> None:
    """`feast apply` in a process of its own, because Feast changes the working directory.

    Raises FeastRepoError with Feast's own words where it fails.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-c", APPLY, str(DESCRIBE), str(repo),
         "--chdir", str(repo), "--feature-store-yaml", str(feature_store_yaml), "apply"],
        cwd=repo, capture_output=True, check=False, env=environment(),
    )
    if done.returncode != 0:
        said = done.stderr if done.stderr.strip() else done.stdout
        raise FeastRepoError(f"cannot apply the feature repository {repo}:\n{last_words(said)}")


def remember(store: Any, fingerprint: str) -> None:
    """Write down in the registry what was applied."""
    project = store.registry.get_project(store.project)
    project.tags = {**project.tags, APPLIED: fingerprint}
    store.registry.apply_project(project, commit=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time, also where one dies inside (POSIX only)."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
