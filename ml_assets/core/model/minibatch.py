"""Fitting in mini-batches: what a system declares of it."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Literal, get_args

from ml_assets.core.declaration import closest, declaration
from ml_assets.core.model.full_batch import require_half_life
from ml_assets.core.policies import require

MOST_DEVICES = 64
STEPS, SMALLEST, LARGEST = 8, 16, 1024
"""Unless a batch is declared, an epoch has at least so many steps, and a batch so many rows."""
Weighting = Literal["equal", "balanced"]


@declaration
class Minibatch:
    """Rows are streamed, and each batch of them takes the network one step further.

    batch: rows of a step; None for what suits the number of rows, see `batch_of`
    epochs: how often all rows are seen, at most
    validation: the share of the training rows, the latest by time, that the first fit leaves out:
        the epoch that loses least on them is the best. 0 fits to all rows, takes all epochs, and
        keeps the last weights
    refit: whether all rows, also those of `validation`, are then fitted to, from the first weights
        on, for as many epochs as were best. Without, and with a `Model.loss`, whose line needs rows
        that were not learnt from, the weights of the best epoch are kept
    patience: epochs in a row without a smaller loss on them, after which fitting ends; None to
        take all epochs
    optimiser: `adamw` (Loshchilov and Hutter, 2019) or `sgd` (with Nesterov's momentum if there
        is `momentum`)
    rate: the highest learning rate
    schedule: of the learning rate after the warm-up: down along a `cosine` to 0 at the last step,
        `constant`, or in `step`s: times `decay` after every `decay_epochs`
    warmup: the share of all steps over which the rate rises in a line from 0
    weight_decay: taken off each weight per step, times rate
    clip: the longest gradient (L2 norm over all weights) that a step follows; None for any
    class_weights: how much a row counts, by its label: `equal` (1 each), `balanced` (all classes
        count the same together) or numbers by label, `((True, 5.0),)`, where one that is not
        named counts 1. Other weights than 1 change what outputs mean: they are no longer
        frequencies
    sample_weights: a column of numbers, how much each row counts; None for 1 each
    half_life: a row that happened so long before the latest counts half as much, whatever else it
        counts: old labels fade, where `Model.history` cuts them off. None if age does not matter
    warm_start: begin with the champion's weights instead of drawn ones, where they fit: what it
        knew keeps its meaning, and new values of categories get rows of their own
    buffer: rows that are in memory and shuffled at a time
    device: `auto` (a GPU if there is one, else the CPU) or the one named
    devices: how many of them share each batch
    checkpoint_s: a training that is killed repeats at most about this many seconds
    """

    batch: int | None = None
    epochs: int = 20
    validation: float = 0.1
    refit: bool = True
    patience: int | None = 3
    optimiser: Literal["adamw", "sgd"] = "adamw"
    rate: float = 1e-3
    schedule: Literal["cosine", "constant", "step"] = "cosine"
    warmup: float = 0.05
    decay: float = 0.1
    decay_epochs: int = 5
    momentum: float = 0.9
    weight_decay: float = 0.01
    clip: float | None = 1.0
    class_weights: Weighting | tuple[tuple[bool | str | float, float], ...] = "equal"
    sample_weights: str | None = None
    half_life: timedelta | None = None
    warm_start: bool = False
    buffer: int = 2**18
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: int = 1
    checkpoint_s: float = 60.0

    def __post_init__(self) -> None:
        for name in ("epochs", "decay_epochs", "devices"):
            self._whole(name)
        for name in ("batch", "patience"):
            if getattr(self, name) is not None:
                self._whole(name)
        least = self.batch or SMALLEST
        self._whole("buffer", least=least, said=f"a whole number from batch on, {least}")
        require(self.devices <= MOST_DEVICES, self, "devices", self.devices,
                f"at most {MOST_DEVICES}")
        require(self.devices <= least, self, "devices", self.devices,
                f"at most one for each row of a batch, {least}")
        self._within("validation", 0, 0.9, said="a share in [0, 0.9]")
        self._within("warmup", 0, 1, said="a share in [0, 1]")
        self._within("momentum", 0, 0.9999, said="a share in [0, 1)")
        for name in ("rate", "decay", "checkpoint_s"):
            require(_number(getattr(self, name)) and getattr(self, name) > 0, self, name,
                    getattr(self, name), "a number above 0")
        require(_number(self.weight_decay) and self.weight_decay >= 0, self, "weight_decay",
                self.weight_decay, "a number from 0 on")
        require(self.clip is None or (_number(self.clip) and self.clip > 0), self, "clip",
                self.clip, "none, or a number above 0")
        require_half_life(self, self.half_life)
        self._require_class_weights()

    @property
    def most_epochs(self) -> int:
        """That are taken at most, also of the second fit if there is one."""
        return self.epochs * (2 if self.refit and self.validation else 1)

    def batch_of(self, rows: int) -> int:
        """Rows of a step of a training on so many rows, unless declared: a power of two, so that
        few rows give more than a handful of steps, and many no more than are worth their while.
        """
        if self.batch is not None:
            return self.batch
        few = 1 << max(0, (rows // STEPS).bit_length() - 1)
        return min(max(few, SMALLEST), LARGEST, self.buffer)

    def _require_class_weights(self) -> None:
        if isinstance(words := self.class_weights, str):
            require(words in get_args(Weighting), self, "class_weights", words,
                    "'equal', 'balanced' or ((label, number), ...)."
                    f"{closest(words, get_args(Weighting))}")
            return
        pairs = isinstance(words, tuple) and all(
            isinstance(each, tuple) and len(each) == 2 for each in words)
        require(pairs and len(words) > 0, self, "class_weights", words,
                "((label, number), ...), at least one")
        labels = [label for label, _ in words]
        require(len(set(labels)) == len(labels), self, "class_weights", words, "each label once")
        for label, weight in words:
            require(_number(weight) and weight >= 0, self, f"class_weights of {label!r}", weight,
                    "a number from 0 on")

    def _whole(self, name: str, *, least: int = 1, said: str = "") -> None:
        found = getattr(self, name)
        whole = isinstance(found, int) and not isinstance(found, bool)
        require(whole and found >= least, self, name, found,
                said or f"a whole number from {least} on")

    def _within(self, name: str, least: float, most: float, *, said: str) -> None:
        found = getattr(self, name)
        require(_number(found) and least <= found <= most, self, name, found, said)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
