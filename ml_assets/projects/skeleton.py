"""An empty project: what `ml-assets init` writes."""

from __future__ import annotations

import shutil
from pathlib import Path

from ml_assets.core.errors import InstallationRefused
from ml_assets.core.project import FILE, PACKAGED_REPO, read_project

PYPROJECT = '''\
# This table makes the folder a project of ml-assets. Name reference systems that are to run here
# too: reference = ["<name>"]
[tool.ml_assets]
reference = []

[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = ["."]
addopts = ["--import-mode=importlib"]

[tool.ruff]
line-length = 100

[tool.ruff.lint.isort]
known-first-party = ["systems"]

[tool.mypy]
strict = true
files = ["systems", "tests"]
explicit_package_bases = true

[[tool.mypy.overrides]]
module = ["feast.*"]
ignore_missing_imports = true
'''
WORKSPACE = '''\
# `dagster dev` in this folder shows the assets of all systems. `ml-assets ui` starts the API and
# MLflow too.
load_from:
  - python_module:
      module_name: ml_assets.definitions
      location_name: {name}
'''
IGNORED = "var/\n__pycache__/\n.pytest_cache/\n.mypy_cache/\n.ruff_cache/\n"
README = '''\
# {name}

Machine-learning systems, declared in `systems/` and run by ml-assets.

```console
$ ml-assets new <name> --from <file> --timestamp <column> --entity <column> --label <column>
$ ml-assets check <name>     # what will not work, before anything runs
$ ml-assets run <name>       # history, a first model, then the rest replayed as live traffic
$ ml-assets ui               # Dagster, the API and MLflow
$ python -m pytest           # the declarations still fit their data
```

| path | holds |
|---|---|
| `systems/<name>/` | what the system declares: `__init__.py`, and its features in `features.py` |
| `feature_repo/` | the entry point for the Feast command line: `cd feature_repo && feast apply` |
| `workspace.yaml` | for `dagster dev` |
| `tests/` | a test for each system |
| `var/` | all state; delete it to start afresh |
'''


def init(folder: Path) -> list[str]:
    """Write an empty project; the names of what was written.

    Raises InstallationRefused if the folder has a file of that name, or is a project.
    """
    if read_project(folder) is not None:
        raise InstallationRefused(f"{folder} is a project already; go there and declare a system: "
                                  "see `ml-assets new --help`")
    name = folder.resolve().name
    files = {
        FILE: PYPROJECT, "workspace.yaml": WORKSPACE.format(name=name), ".gitignore": IGNORED,
        "README.md": README.format(name=name),
        "systems/__init__.py": '"""One package for each system."""\n',
        "feature_repo/definitions.py": (PACKAGED_REPO / "definitions.py").read_text(),
        "feature_repo/feature_store.yaml": (PACKAGED_REPO / "feature_store.yaml").read_text(),
        "tests/.gitkeep": "",
    }
    for each in files:
        if (folder / each).exists():
            raise InstallationRefused(f"{folder / each} exists; nothing was written. Choose "
                                      "another folder, or move it away")
    for each, content in files.items():
        write(folder / each, content)
    return list(files)


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def remove(*paths: Path) -> None:
    """Of what a command wrote and then found to be wrong."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
