"""Trains in a process that is to be killed: `python -m tests.training.loop.killed FOLDER PAUSE`.

Says on its output which step it takes.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from ml_assets.core.model.minibatch import Minibatch
from ml_assets.training.loop.blocks import InMemory, RowBlock, batches
from ml_assets.training.loop.refitting import train_again
from tests.training.loop.made_up import YES_OR_NO, a_network, returned, weights

BATCH = 50
FIT = Minibatch(batch=BATCH, epochs=3, rate=0.02, checkpoint_s=1e-9)
"""Every step is stored."""


@dataclass(frozen=True, kw_only=True)
class Slow:
    """Rows that come one batch at a time, with a word and a pause for whoever kills."""

    source: InMemory
    pause_s: float
    word: str

    @property
    def rows(self) -> int:
        return self.source.rows

    def __call__(self, epoch: int, seed: int) -> Iterator[RowBlock]:
        for number, batch in enumerate(batches(self.source(epoch, seed), BATCH)):
            sys.stdout.write(f"{self.word} {epoch} {number}\n")
            sys.stdout.flush()
            time.sleep(self.pause_s)
            yield batch


def digest(folder: Path | None, pause_s: float = 0.0) -> tuple[str, int]:
    """Of the trained weights, and how many steps were taken before."""
    torch.set_num_threads(1)
    network = a_network()
    early, every = (Slow(source=InMemory(block=returned(rows)), pause_s=pause_s, word=word)
                    for rows, word in ((400, "step"), (500, "again")))
    history = train_again(
        network, FIT, early, InMemory(block=returned(100, seed=2), shuffle=False), every,
        loss=YES_OR_NO, seed=5, folder=folder)
    assert history.again is not None
    bits = hashlib.sha256(repr(sorted(weights(network).items())).encode()).hexdigest()
    return (f"{bits} {history.epochs} {history.again.epochs}",
            history.resumed + history.again.resumed)


if __name__ == "__main__":
    digest(Path(sys.argv[1]), float(sys.argv[2]))
