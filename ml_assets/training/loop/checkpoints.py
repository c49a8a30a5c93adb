"""A training as far as it has come, in one file: safetensors, whose header holds the rest as JSON.

Nothing is pickled, and a `kill -9` leaves the previous file or the next one, never half of one.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ml_assets.core.errors import DeclarationError, NotReady
from ml_assets.core.storage.files import make_private, replacing
from ml_assets.training.loop.history import EpochLosses

FILE, LOCK = "checkpoint.safetensors", "training.lock"
CHOOSING = "choosing"
"""The folder below a training's own, of the fit that only chooses how many epochs there are."""
NETWORK, BEST, OPTIMISER = "network/", "best/", "optimiser/"
log = logging.getLogger(__name__)
Named = dict[str, torch.Tensor]


class Reached(msgspec.Struct, kw_only=True):
    """How far a training has come.

    epoch: the one that is being taken, from 0; step: how many steps of it were
    lost, weight: the rows' losses in it, each times its weight, and the weights, summed
    best: the epoch whose weights are kept, from 1; 0 if none is yet
    ended: why it has ended, once it has
    """

    epoch: int = 0
    step: int = 0
    lost: float = 0.0
    weight: float = 0.0
    epochs: list[EpochLosses] = msgspec.field(default_factory=list)
    best: int = 0
    ended: str | None = None


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a file holds. best: the kept weights, none before the first epoch's end"""

    reached: Reached
    network: Named
    best: Named
    optimiser: dict[int, Named]


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """The one of a training, in a folder.

    training: says everything that decides on the weights; another training's file is of no use
    """

    folder: Path
    training: str

    def save(
        self, reached: Reached, network: Mapping[str, torch.Tensor],
        best: Mapping[str, torch.Tensor], optimiser: torch.optim.Optimizer,
    ) -> None:
        states = optimiser.state_dict()["state"]
        held = {f"{NETWORK}{name}": value for name, value in network.items()}
        held |= {f"{BEST}{name}": value for name, value in best.items()}
        held |= {f"{OPTIMISER}{number}/{name}": value for number, state in states.items()
                 for name, value in state.items() if value is not None}
        for name, value in held.items():
            if not isinstance(value, torch.Tensor):
                raise DeclarationError(f"{name} is a {type(value).__name__}; expected a tensor: "
                                       "only tensors of a network can be stored")
        about = {"training": self.training, "reached": msgspec.json.encode(reached).decode()}
        with replacing(self.folder / FILE) as temporary:
            # Copies: two names may share memory, which the format refuses.
            save_file({name: value.detach().to("cpu", copy=True).contiguous()
                       for name, value in held.items()}, temporary, metadata=about)

    def load(self) -> Checkpoint | None:
        """The latest of this training; None if there is none."""
        path = self.folder / FILE
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                if about.get("training") != self.training:
                    log.info("%s is of another training: this one begins at the beginning", path)
                    return None
                reached = msgspec.json.decode(about["reached"], type=Reached)
                held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, msgspec.MsgspecError) as error:
            log.warning("%s is damaged (%s): the training begins at the beginning", path, error)
            return None
        optimiser: dict[int, Named] = {}
        for name, value in _below(held, OPTIMISER).items():
            number, _, part = name.partition("/")
            optimiser.setdefault(int(number), {})[part] = value
        return Checkpoint(reached=reached, network=_below(held, NETWORK),
                          best=_below(held, BEST), optimiser=optimiser)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let no other process train here. Raises NotReady if one does."""
        make_private(self.folder / LOCK)
        with (self.folder / LOCK).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise NotReady(f"another process trains in {self.folder}: wait for it, or end "
                               "it") from None
            yield


def discard(folder: Path) -> None:
    """Forget the training in a folder, and those below: what they led to is stored elsewhere."""
    for each in folder.rglob(FILE):
        each.unlink(missing_ok=True)


def _below(held: Mapping[str, torch.Tensor], prefix: str) -> Named:
    return {name.removeprefix(prefix): value for name, value in held.items()
            if name.startswith(prefix)}
