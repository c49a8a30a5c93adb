"""The peers' own environments: `var/bench/<peer>`, created on first use."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ml_assets.core.errors import MlAssetsError
from ml_assets.core.settings import ROOT

ENVIRONMENTS = ROOT / "var" / "bench"
INSTALL_S = 900.0
NO_CUDA = "import torch; assert torch.version.cuda is None, torch.__version__"


class NotInstalled(MlAssetsError, RuntimeError):
    """A peer cannot be installed here; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What is installed for one peer, and nowhere else.

    requirements: a file of pinned packages, without torch; with_torch: install the project's own
    made_by: the command that creates the environment, for one who lacks it
    """

    name: str
    requirements: Path
    made_by: str
    with_torch: bool = True

    def programs(self, *, create: bool) -> Path:
        """The folder with its python; creates or renews the environment if necessary.

        create: False to use an existing one only. Raises NotInstalled.
        """
        folder = ENVIRONMENTS / self.name
        note = folder / "installed"
        wanted = self._wanted()
        if note.exists() and note.read_text() == wanted:
            return folder / "bin"
        if not create:
            raise NotInstalled(f"{folder} is not there yet: `{self.made_by}` makes it")
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)])
        python = str(folder / "bin" / "python")
        if self.with_torch:
            # First and separately: installed along with the rest, pip may pick a CUDA build.
            _run([python, "-m", "pip", "install", "--quiet", _torch()])
        _run([python, "-m", "pip", "install", "--quiet", "-r", str(self.requirements)])
        if self.with_torch:
            _run([python, "-c", NO_CUDA])
        note.write_text(wanted)
        return folder / "bin"

    def _wanted(self) -> str:
        """A digest of its contents: it is recreated when that changes."""
        torch = _torch() if self.with_torch else ""
        said = f"{torch}\n{sys.version_info[:2]}\n{self.requirements.read_text()}"
        return hashlib.sha256(said.encode()).hexdigest()[:16]


def _torch() -> str:
    """The torch that the project itself is tested with."""
    found = re.search(r"^torch==\S+", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert found, "constraints.txt pins torch"
    return found.group()


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"{' '.join(command)} took longer than {INSTALL_S:g} s") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise NotInstalled(f"{' '.join(command)}: {' | '.join(said[-3:])}")
