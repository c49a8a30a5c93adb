"""The tutorial, word by word: its files are saved, its commands typed, what it shows comes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from ml_assets.core.settings import ROOT
from tests.pages import typed

PAGE = (ROOT / "docs" / "tutorial.md").read_text()
SAVED = re.compile(r"Save this as `([^`]+)`:\n\n```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
BLOCKS = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
KEPT_RUNNING = "ml-assets ui"
MACHINE_TIME_S = 300
"""CPU seconds from the project to a served prediction; wall time would measure the neighbours."""
PATIENCE_S = 600


@pytest.mark.slow
def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    before = cpu_seconds()
    terminal = Terminal(tmp_path)
    with terminal.open():
        for kind, content in steps():
            if kind == "file":
                name, _, text = content.partition("\n")
                (terminal.folder / name).write_text(text)
                continue
            command, shown = typed(content)
            if command == KEPT_RUNNING:
                terminal.start_services()
            else:
                found = terminal.run(command)
                missing = [line for line in shown.splitlines() if masked(line) not in found]
                assert not missing, (command, found)
            if "/predict" in command:
                assert cpu_seconds() - before < MACHINE_TIME_S
        assert "234 feature vectors recomputed from history, 0 mismatches" in terminal.said


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", PAGE)
    assert links
    assert not [link for link in links if not (ROOT / "docs" / link).exists()]


def steps() -> Iterator[tuple[str, str]]:
    """Files to save and commands to type, in the order of the page."""
    found = [(match.start(), "file", f"{match[1]}\n{match[2]}") for match in SAVED.finditer(PAGE)]
    for block in BLOCKS.finditer(PAGE):
        parts = re.split(r"^\$ ", block[1], flags=re.MULTILINE)[1:]
        found += [(block.start(), "command", part) for part in parts]
    assert len(found) > 10
    for _, kind, content in sorted(found, key=lambda each: each[0]):
        yield kind, content


def masked(line: str) -> str:
    """Without numbers and hashes, which depend on the machine's clock."""
    return " ".join(re.sub(r"[0-9a-f]*\d[\d.,:a-fTZ]*", "#", line).split())


def cpu_seconds() -> float:
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Terminal:
    """A shell in a folder of its own, with the environment of the checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said = ""
        self.ports = [free_port() for _ in range(3)]
        self._exports = ""
        self._services: subprocess.Popen[bytes] | None = None
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("ML_ASSETS_")
        } | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'packages' / 'dagster-feast'}",
            "ML_ASSETS_PORT": str(self.ports[0]),
        }

    @contextmanager
    def open(self) -> Iterator[None]:
        try:
            yield
        finally:
            if self._services is not None:
                self._services.send_signal(signal.SIGINT)
                self._services.wait(60)

    def run(self, command: str) -> set[str]:
        """The lines that it prints, masked. `cd` and variables hold for what follows."""
        if command.startswith("cd "):
            self.folder /= command.removeprefix("cd ")
            return set()
        if re.match(r"[A-Z]+=", command):
            self._exports += f"{command}\n"
            return set()
        typed_here = command.replace("localhost:8080", f"localhost:{self.ports[0]}")
        done = subprocess.run(
            ["bash", "-euc", f"{self._exports}{typed_here}"], cwd=self.folder, text=True,
            env=self._environment, capture_output=True, timeout=PATIENCE_S, check=False)
        assert done.returncode == 0, (command, done.stdout[-3000:], done.stderr[-3000:])
        self.said += done.stdout
        return {masked(line) for line in done.stdout.splitlines()}

    def start_services(self) -> None:
        command = [*KEPT_RUNNING.split(), "--dagster-port", str(self.ports[1]), "--mlflow-port",
                   str(self.ports[2])]
        with (self.folder / "ui.txt").open("wb") as log:
            self._services = subprocess.Popen(command, cwd=self.folder, env=self._environment,
                                              stdout=log, stderr=log)
        for port, path in ((self.ports[0], "readyz"), (self.ports[1], "server_info"),
                           (self.ports[2], "health")):
            self._await(f"http://localhost:{port}/{path}")

    def _await(self, address: str) -> None:
        assert self._services is not None
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until and self._services.poll() is None:
            try:
                with urlopen(address, timeout=5):
                    return
            except (URLError, OSError):
                time.sleep(0.5)
        pytest.fail(f"{address} does not answer: {(self.folder / 'ui.txt').read_text()}")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
