"""The rule of imports is held by contracts that fail when it is broken."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ml_assets.core.settings import ROOT

LINT = Path(sys.executable).parent / "lint-imports"


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("core/clock_reader.py", "import ml_assets.ingest.lake", "The loop is a line in imports"),
        ("training/shortcut.py", "import ml_assets.serving.http", "The loop is a line in imports"),
        ("ingest/shortcut.py", "import ml_assets.systems.spam", "The loop is a line in imports"),
        ("serving/answer/shortcut.py", "import ml_assets.serving.http.app", "Inside serving"),
        ("serving/answer/shortcut.py", "import ml_assets.serving.contract.protocol",
         "Inside serving"),
        ("features/history/shortcut.py", "import ml_assets.features.feast_stores.offline",
         "Inside features"),
        ("ingest/shortcut.py", "import torch", "torch only where tensors are"),
        ("serving/answer/shortcut.py", "import feast", "feast only in features"),
        ("training/shortcut.py", "import mlflow", "mlflow only in the registry"),
        ("feedback/shortcut.py", "import starlette", "the web only in serving"),
    ],
)
def test_a_planted_import_breaks_its_contract(
    module: str, line: str, contract: str, tmp_path: Path
) -> None:
    """A contract that cannot fail holds nothing."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "ml_assets", tmp_path / "ml_assets",
                    ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "ml_assets" / module).write_text(f"{line}\n")
    lint = subprocess.run([LINT, "--no-cache"], cwd=tmp_path, capture_output=True, text=True,
                          check=False)
    assert lint.returncode == 1, lint.stdout
    [broken] = [said for said in lint.stdout.splitlines() if " BROKEN" in said]
    assert broken.startswith(contract)
