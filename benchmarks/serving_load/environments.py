"""The peers' own environments: `var/bench/<peer>`, created on first use."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.serving_load.peer import Peer
from ml_assets.core.errors import MlAssetsError
from ml_assets.core.settings import ROOT

ENVIRONMENTS = ROOT / "var" / "bench"
INSTALL_S = 900.0
NO_CUDA = "import torch; assert torch.version.cuda is None, torch.__version__"


class NotInstalled(MlAssetsError, RuntimeError):
    """A peer cannot be installed here; the message says why."""


def programs(peer: Peer, *, create: bool) -> Path:
    """The folder with the peer's python; creates or renews its environment if necessary.

    create: False to use an existing one only. Raises NotInstalled.
    """
    folder = ENVIRONMENTS / peer.name
    note = folder / "installed"
    wanted = _wanted(peer)
    if note.exists() and note.read_text() == wanted:
        return folder / "bin"
    if not create:
        raise NotInstalled(
            f"{folder} is not there yet: `ml-assets bench serving --peers {peer.name}` makes it"
        )
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(folder)])
    python = str(folder / "bin" / "python")
    # torch comes first and separately: installed along with the rest, pip may pick a CUDA build.
    _run([python, "-m", "pip", "install", "--quiet", _torch()])
    _run([python, "-m", "pip", "install", "--quiet", "-r", str(peer.requirements)])
    _run([python, "-c", NO_CUDA])
    note.write_text(wanted)
    return folder / "bin"


def _wanted(peer: Peer) -> str:
    """A digest of an environment's contents: it is recreated when that changes."""
    said = f"{_torch()}\n{sys.version_info[:2]}\n{peer.requirements.read_text()}"
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
