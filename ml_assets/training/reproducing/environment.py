"""What a training ran with, beside its data and its declaration: what may let the same training
come out differently another time."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ml_assets.core.model import Minibatch, Model
from ml_assets.core.project import ROOT, project

PACKAGES = ("duckdb", "feast", "numpy", "onnx", "onnxruntime", "onnxscript", "pandas", "pyarrow",
            "scipy", "torch")
"""Those through which rows become weights, and weights become what is served."""
TAG = "environment"
"""Of a version in the registry: the JSON object of `TrainingEnvironment`."""


@dataclass(frozen=True, kw_only=True)
class TrainingEnvironment:
    """code: SHA-256 of the Python files of the program and of the project's systems
    packages: versions by name; threads: that torch computes with; device: `cpu`, or the name of
    what else tensors lay on; processor: as the machine calls it
    """

    code: str = ""
    python: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    threads: int = 0
    device: str = ""
    processor: str = ""

    def tag(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def of_tag(cls, tag: str | None) -> TrainingEnvironment | None:
        """The inverse; None of a version that was registered before there was one."""
        return None if tag is None else cls(**json.loads(tag))

    def differences(self, now: TrainingEnvironment) -> list[str]:
        """What is not the same now, in words."""
        said = [f"{name} was {was or 'unknown'}, is {here or 'unknown'}"
                for name, was, here in (
                    ("the code", self.code[:12], now.code[:12]),
                    ("Python", self.python, now.python),
                    ("the number of threads", str(self.threads), str(now.threads)),
                    ("the device", self.device, now.device),
                    ("the processor", self.processor, now.processor))
                if was != here]
        for name in sorted({*self.packages, *now.packages}):
            was, here = self.packages.get(name, "none"), now.packages.get(name, "none")
            if was != here:
                said.append(f"{name} was {was}, is {here}")
        return said


def environment(model: Model) -> TrainingEnvironment:
    """This process's, for a training of `model`."""
    import torch

    return TrainingEnvironment(
        code=_code_digest(), python=platform.python_version(),
        packages={name: found for name in PACKAGES if (found := _version(name))},
        threads=torch.get_num_threads(), device=_device(model), processor=_processor())


def _device(model: Model) -> str:
    if not isinstance(model.fit, Minibatch):
        return "cpu"
    import torch

    from ml_assets.training.loop.devices import devices_of

    return ", ".join(torch.cuda.get_device_name(each) if each.type == "cuda" else each.type
                     for each in devices_of(model.fit))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


@cache
def _code_digest() -> str:
    """Of the files as they are when a process first asks."""
    digest = sha256()
    for path in _sources():
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    for folder in dict.fromkeys((ROOT / "ml_assets", project().systems)):
        yield from sorted(path for path in folder.rglob("*.py") if path.is_file())
